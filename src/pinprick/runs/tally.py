"""What a run has done so far, told as it goes on; and the end of one whose units all fail."""

from __future__ import annotations

from dataclasses import dataclass

from pinprick.errors import RunStoppedError
from pinprick.outcomes import Outcome
from pinprick.runs.result import Listener

ALL_FAIL = 20
"""A run stops when this many units have ended and all of them failed."""


@dataclass
class Tally:
    """Counts what ends, tells it, and stops a run whose units all fail.

    ``ended``, ``failed`` and ``successes`` begin with what is stored already; ``done`` and ``asked`` are of this call.
    ``at_most`` is what this call asks where no unit to come ends before its ``budget``, that of the present group.
    """

    listener: Listener
    ended: int
    failed: int
    successes: int
    at_most: int
    budget: int = 0
    done: int = 0
    asked: int = 0
    asked_before: int = 0

    def questions(self, asked: int) -> None:
        """The meter of the present group has asked so many."""
        self.asked = self.asked_before + asked
        self._tell()

    def next_meter(self) -> None:
        """A new group begins, with a meter of its own."""
        self.asked_before = self.asked

    def _tell(self) -> None:
        self.listener.on_left(max(self.at_most - self.asked, 0))
        self.listener.on_step(self.done, self.successes, self.asked)

    def note(self, outcome: Outcome, asked: int) -> None:
        """A unit ended, and the meter has asked so many by now, verifying questions among them."""
        self.asked = self.asked_before + asked
        self.done += 1
        self.ended += 1
        self.successes += outcome.status == "fooled"
        self.failed += outcome.status == "failed"
        self.at_most -= max(self.budget - outcome.asked, 0)
        self._tell()
        self.check(outcome.reason)

    def check(self, reason: str | None) -> None:
        """Raise RunStoppedError where all of the first units failed."""
        if self.ended >= ALL_FAIL and self.failed == self.ended:
            why = f", the last with: {reason}" if reason else " (--retry-failed tries them again)"
            raise RunStoppedError(f"stopped: the first {self.ended} units all failed{why}")
