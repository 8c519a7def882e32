"""What a reader may take at most for one input: time and memory."""

from __future__ import annotations

import contextlib
import faulthandler
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

SECONDS = 20.0
"""Of the processor's time for one input; the readers take milliseconds."""
BYTES = 3 * 2**30
"""Beyond what the process has: an image of 89 million pixels is decoded in about 1 GB."""
STUCK = 900.0
"""For a thousand inputs or so; after this the process ends with a traceback of where it hangs, in C code too."""


STATM = Path("/proc/self/statm")
"""Where Linux says how much memory a process has; elsewhere only time is limited."""


class TookTooLong(BaseException):
    """Not an Exception, so that no reader catches it."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLong(f"more than {SECONDS:g} s for one input")


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Within, more than :data:`SECONDS` is :class:`TookTooLong`, and memory beyond :data:`BYTES` is not given."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    if STATM.exists():
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within, the process ends where it hangs for good. Slower to begin than a small input is to read."""
    # Not to where pytest keeps what tests print: that has no file descriptor.
    faulthandler.dump_traceback_later(STUCK, exit=True, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _address_space() -> int:
    """Bytes of address space that the process has now."""
    return int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
