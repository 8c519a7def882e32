"""What a run tells while it goes on, and what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from pinprick.runs.spec import Spec
from pinprick.runs.summary import Row


@dataclass
class Listener:
    """What a run tells while it goes on; every field may be left as it is."""

    say: Callable[[str], None] = lambda _message: None
    """Lines for the user: warnings, decisions."""
    on_plan: Callable[[int, int], None] = lambda _units, _done: None
    """Units in all, and how many of them are stored already."""
    on_step: Callable[[int, int, int], None] = lambda _done, _successes, _asked: None
    """Units done in this call; fooled units, stored ones among them; questions asked in this call."""
    on_left: Callable[[int], None] = lambda _questions: None
    """Questions that this call may still ask, at most; told before each ``on_step``. Most units end before that."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    ``images`` were scored and ``attacked`` of them used; ``failed`` units have no verdict, ``first_reason`` says why of
    the first of them; ``seconds`` is the time of this call. ``stopped`` says why the run ended before its last unit.
    ``ledger`` has the counts of :class:`pinprick.targets.ledger.Counts`, ``total`` and by purpose, for remote targets
    and runs with a budget of their own; those of earlier calls in the same folder are among them.
    """

    spec: Spec
    rows: list[Row]
    images: int
    attacked: int
    failed: int
    first_reason: str | None
    seconds: float
    load: Callable[[], pa.Table] = field(repr=False)
    """Reads the table."""
    stopped: str | None = None
    ledger: dict[str, Any] | None = None

    @cached_property
    def table(self) -> pa.Table:
        """The outcomes of the units that were asked for, sorted by key; of a run in a folder read when first used."""
        return self.load()

    @property
    def clean_accuracy(self) -> float | None:
        """Right images over scored ones."""
        return self.attacked / self.images if self.images else None

    def as_dict(self) -> dict[str, Any]:
        """The object that `pinprick attack --json` prints."""
        return {
            "images": self.images,
            "attacked": self.attacked,
            "clean_accuracy": self.clean_accuracy,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "ledger": self.ledger,
            "rows": [row.as_dict() for row in self.rows],
        }
