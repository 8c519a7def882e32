"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from pinprick.errors import InputError


def given_path(text: str | os.PathLike[str], what: str) -> Path:
    """The path that a user gave, ``~`` replaced; there may be nothing there, but the system can look it up.

    ``Path.exists`` and its like raise what the system says of names that are too long and of folders that may not be
    looked into; after this they do not.

    Parameters
    ----------
    what : how errors call it.

    Raises
    ------
    InputError : it is no path, or the system cannot look it up: too long, a NUL in it, no right to, links in a circle,
        no such home.
    """
    if not isinstance(text, str | os.PathLike):
        raise InputError(_short(what), f"a {type(text).__name__}, no path", "Give a path.")
    try:
        path = Path(text).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise InputError(_short(what), f"the path cannot be looked up ({reason})", "Give another path.") from None
    return path


def check_ordinary(path: Path, what: str) -> None:
    """Raise InputError where a path leads to a pipe or a device: these may give nothing for ever, or never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(_short(what), "a pipe or a device", "Give a file.")


def _short(what: str) -> str:
    """Without the middle of a name that is too long."""
    return what if len(what) <= 200 else f"{what[:100]} … {what[-60:]}"
