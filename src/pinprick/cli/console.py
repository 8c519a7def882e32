"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from rich.console import Console


def stderr() -> Console:
    """A console on the current stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(message: str) -> None:
    """One plain line on stderr."""
    stderr().print(message, markup=False)


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what models and factories print to stderr, so that stdout holds results only.

    Also diverts file descriptor 1, for what is printed from C code; Python-level only where stdout is no real file.
    """
    sys.stdout.flush()
    try:
        real = sys.stdout.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        real = -1
    if real != 1:
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
