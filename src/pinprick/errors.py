"""Errors that name the input, what was wrong with it, and what would be right.

Every error a user can cause derives from :class:`PinprickError` and carries the exit code of the command line.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

EXIT_DONE = 0
EXIT_BAD_INPUT = 2
EXIT_FAILED_UNITS = 3
EXIT_WARNINGS = 3
EXIT_HALTED = 4
EXIT_INTERRUPTED = 130


class PinprickError(Exception):
    """Base of all errors raised on purpose by pinprick."""

    exit_code = EXIT_BAD_INPUT


class InputError(PinprickError):
    """Something the user gave cannot be used.

    Parameters
    ----------
    what : the input, as the user named it (an option, a path, a function).
    wrong : what is wrong with it.
    right : what would be right; one sentence.
    """

    def __init__(self, what: str, wrong: str, right: str = "") -> None:
        self.what, self.wrong, self.right = what, wrong, right
        super().__init__(f"{what}: {wrong}." + (f" {right}" if right else ""))


class UnknownNameError(InputError):
    """A name that is not in a list of known names; the message suggests the nearest ones."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        super().__init__(what, f"there is no {name!r}", f"{hint}Known: {', '.join(names)}.")


class OutputsError(InputError):
    """What a classifier puts out could not be understood (logits, probabilities or labels?)."""


def message(error: BaseException) -> str:
    """What an exception says, as text that a file can hold; foreign ones may raise when they are asked for it."""
    try:
        text = str(error)
    except (Exception, SystemExit) as inner:
        return f"its message cannot be shown ({type(inner).__name__})"
    # Half of a surrogate pair cannot be written to JSON or Parquet.
    return text.encode("utf-8", "replace").decode("utf-8")


def plain(text: str) -> str:
    """The text as it may be shown on a terminal: control characters and line breaks as escapes.

    Names come from files of others and could otherwise steer the terminal. Characters that reorder text are escaped
    too; bytes that Python could not read as text stand as text again where they are UTF-8, else as escapes.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    whole = data.decode("utf-8", "backslashreplace")
    if whole.isprintable():
        return whole
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN else c for c in whole)


_UNSHOWN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def one_line(error: BaseException) -> str:
    """``ValueError: what it says``, on one line."""
    return f"{type(error).__name__}: {' '.join(message(error).split()) or 'no message'}"


class BudgetError(PinprickError):
    """An attack asked a target more often than its unit allows; a mistake of the attack, not of the user."""


class OutOfMemoryError(PinprickError):
    """A forward pass did not fit into memory at the current number of rows."""


class RunStoppedError(PinprickError):
    """A run gave up by itself, for instance because the first 20 units all failed."""


class HaltError(PinprickError):
    """A run ends before its last unit: its budget is spent, or its model is gone or has become another one.

    What has ended is kept, and the same command continues.
    """

    exit_code = EXIT_HALTED


class TargetError(PinprickError):
    """A classifier raised, or returned something that is no scores ``(N, K)``."""
