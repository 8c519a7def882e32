"""What Ctrl-C does at each moment of a command; imports little, so that it is in force at once."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from pinprick.errors import EXIT_INTERRUPTED

_LINE = b"interrupted\n"


def _end(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, _LINE)
    os._exit(EXIT_INTERRUPTED)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ctrl-C ends the process with one line while nothing is under way, such as while torch is imported.

    An exception in the middle of an import can be swallowed or come out as another one. Where Ctrl-C is ignored
    (``nohup``, a shell's background) or handled otherwise, that stays.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    # What is done is done: Ctrl-C while Python clears up would only print where it was.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def stopping_work() -> Iterator[None]:
    """Within a command Ctrl-C is a KeyboardInterrupt, so that what is under way is put away in order.

    One that the command does not catch itself becomes one line and exit code 130; so does another Ctrl-C meanwhile.
    """
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    import typer

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, _end)
        os.write(2, _LINE)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, _end)
