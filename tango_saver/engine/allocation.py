"""How a worker gets its memory from the C library."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Parameters of ``mallopt``, see mallopt(3)."""
_LARGEST_IN_HEAP = 32 * 2**20
"""The most that glibc allows."""
_KEPT_FREE = 256 * 2**20
_GROWTH = 16 * 2**20


def give_back_memory() -> None:
    """Return to the system what is free: for a worker that has nothing to do."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_freed_memory() -> None:
    """Let blocks of up to 32 MB, and up to 256 MB in all, be used again after they were freed.

    By default glibc maps each large block anew, and the kernel clears its pages each time.
    Nothing happens where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
        mallopt(_TRIM_THRESHOLD, _KEPT_FREE)
        mallopt(_TOP_PAD, _GROWTH)
