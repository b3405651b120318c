"""Memory that was given back stays at hand, until it is not needed any more."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of mallopt(3)


def keep_freed_memory() -> None:
    """Tells the C library (glibc; others are left alone) to keep freed blocks of up to 32 MB for the next request.

    By default it hands large blocks back to the system, which clears each page anew when it is next touched: ten thousand
    page faults a training step, a tenth of its time, and much more on a virtual machine. All threads share one heap, so that
    what one frees another can use. For programs that do one thing for long; a library must not decide this for its host.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1)):
        mallopt(parameter, value)


def release_freed_memory() -> None:
    """Hands back to the system what lies free between blocks in use (glibc; others are left alone): once, after a phase that
    took more than the next one will. Reading scenes as floats leaves a megabyte free beside each."""
    if sys.platform.startswith("linux") and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
