"""The ledger of a target: what was asked of it, what became of that, and how much more a run may send.

It adds up at any time, and after a crash: each line of its file is written before what it tells is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pinprick.errors import HaltError, InputError
from pinprick.files import writing

Purpose = Literal["unchanged", "units", "canary"]
FILE = "ledger.jsonl"
"""In a run's folder."""
PURPOSES: tuple[Purpose, ...] = ("unchanged", "units", "canary")


@dataclass
class Counts:
    """Images of one purpose.

    ``asked`` = ``remembered`` + ``cached`` + ``answered`` + ``failed`` + ``cut`` + ``lost``. Without lost ones,
    ``sent`` - ``retried`` = ``answered`` + ``failed``.

    Parameters
    ----------
    asked : that scores were wanted of.
    remembered : scored for the same unit before, since the command was given.
    cached : answered from the answers on disk.
    answered : that the model gave usable scores for.
    failed : that were sent, and got no usable scores.
    cut : that were never sent, as the run ended before.
    lost : on their way when the process was ended.
    sent : as often as each was sent. This is what a run's budget is about.
    retried : of these, the second and later times.
    requests : that they were sent in.
    """

    asked: int = 0
    remembered: int = 0
    cached: int = 0
    answered: int = 0
    failed: int = 0
    cut: int = 0
    lost: int = 0
    sent: int = 0
    retried: int = 0
    requests: int = 0

    def open(self) -> int:
        """Images of which nothing is known yet."""
        return self.asked - (self.remembered + self.cached + self.answered + self.failed + self.cut + self.lost)

    def add(self, **more: int) -> None:
        """Add to some of the counts."""
        for name, value in more.items():
            setattr(self, name, getattr(self, name) + value)


COUNTS = tuple(field.name for field in fields(Counts))


class Ledger:
    """Counts of a target, in memory until :meth:`keep` gives them a file. Threads may share it.

    Parameters
    ----------
    budget : images that may be sent in all, each retry among them; None for any number.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self.closed = False
        self.counts: dict[Purpose, Counts] = {purpose: Counts() for purpose in PURPOSES}
        self._purpose: Purpose = "units"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path = Path()

    @contextlib.contextmanager
    def charging(self, purpose: Purpose) -> Iterator[None]:
        """Within, what is counted is of this purpose."""
        before, self._purpose = self._purpose, purpose
        try:
            yield
        finally:
            self._purpose = before

    def note(self, **more: int) -> None:
        """Count; zeros are left out."""
        more = {name: value for name, value in more.items() if value}
        with self._lock:
            self._note(more)

    def sending(self, images: int, *, again: bool) -> None:
        """Count images that are about to be sent, in one request; ``again`` where they were sent before.

        Raises
        ------
        HaltError : the budget does not hold them, or the ledger is closed; nothing is counted then.
        """
        with self._lock:
            if self.closed:
                raise HaltError("the run has ended")
            if self.budget is not None and self.sent + images > self.budget:
                raise HaltError(
                    f"--run-budget {self.budget}: {self.sent} images were sent, and {images} more are due. "
                    "The same command with a larger one goes on."
                )
            self._note({"sent": images, "requests": 1} | ({"retried": images} if again else {}))

    @property
    def sent(self) -> int:
        """Images sent so far, each time counted."""
        return sum(counts.sent for counts in self.counts.values())

    @property
    def left(self) -> int | None:
        """Images that may still be sent; None for any number."""
        return None if self.budget is None else max(0, self.budget - self.sent)

    def total(self) -> Counts:
        """All purposes together."""
        total = Counts()
        for counts in self.counts.values():
            total.add(**asdict(counts))
        return total

    def as_dict(self) -> dict[str, Any]:
        """``total`` and each purpose, as plain values for JSON."""
        return {"total": asdict(self.total())} | {name: asdict(counts) for name, counts in self.counts.items()}

    def _note(self, more: dict[str, int]) -> None:
        if not more:
            return
        if self._file is not None:
            line = json.dumps({"for": self._purpose} | more) + "\n"
            with writing(self._path):
                self._append(self._file, line.encode())
        self.counts[self._purpose].add(**more)

    # The file.

    def keep(self, path: Path) -> None:
        """From now on write to ``path``, on top of what an earlier command has left there.

        What that one asked and never heard of is booked as lost.

        Raises
        ------
        InputError : the file cannot be read or written, or is no ledger.
        """
        with self._lock:
            for purpose, counts in read_ledger(path).items():
                self.counts[purpose].add(**asdict(counts))
            with writing(path):
                self._path = path
                part = path.with_name(path.name + ".part")
                with part.open("w", encoding="utf-8") as file:
                    for purpose, counts in self.counts.items():
                        file.write(json.dumps({"for": purpose} | asdict(counts)) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    @staticmethod
    def _append(file: int, line: bytes) -> None:
        """Write all of a line or, where the disk is full, nothing: what comes after a part of one could not be read."""
        end = os.fstat(file).st_size
        try:
            while line:
                line = line[os.write(file, line) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, end)
            raise

    def close(self) -> None:
        """Let go of the file. Nothing more is sent."""
        with self._lock:
            self.closed = True
            if self._file is not None:
                os.close(self._file)
                self._file = None


def read_ledger(path: Path) -> dict[Purpose, Counts]:
    """The counts in a file, what was open when it was left as lost; all zero where there is no file.

    Raises
    ------
    InputError : the file cannot be read, or is no ledger.
    """
    counts: dict[Purpose, Counts] = {purpose: Counts() for purpose in PURPOSES}
    try:
        # The end of a line may be missing where the process was ended while it wrote.
        lines = path.read_bytes().split(b"\n")[:-1]
        for line in lines:
            entry = json.loads(line)
            counts[entry.pop("for")].add(**{name: _count(name, value) for name, value in entry.items()})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "a line of it is no entry"
        right = "Move it away: the count begins anew then, and so does --run-budget."
        raise InputError(f"ledger {path}", f"cannot be read ({reason})", right) from None
    for each in counts.values():
        each.lost += max(0, each.open())
    return counts


def stored_ledger(folder: Path) -> dict[str, Counts] | None:
    """The ledger in a run's folder, ``total`` first and then each purpose; None where the run has none.

    Raises
    ------
    InputError : it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    counts = read_ledger(path)
    told: dict[str, Counts] = {"total": Counts()}
    for purpose, each in counts.items():
        told["total"].add(**asdict(each))
        told[purpose] = each
    return told


def _count(name: str, value: object) -> int:
    if name not in COUNTS or not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(name)
    return value
