"""How this process keeps memory that a forward pass has given back."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEEP = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next pass; whether it does so now.

    A pass allocates and frees tensors of many megabytes. By default glibc maps each of them anew and gives it back at
    once, and the kernel clears every page again: half of the time of a 227 x 227 network was spent there. Other
    systems are left alone. For the command line only: a process of somebody else's has its own ways.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _KEEP)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP))
