"""Fletcher's checksum as HDF5 appends it to a chunk, without HDF5's lock."""

from __future__ import annotations

import struct

import numpy as np

_MODULUS = 65535
_BLOCK = 1 << 20
"""Words that are summed at once; the sum of their sums is far below what 64 bits hold."""


def fletcher32(data: bytes) -> int:
    """The checksum of bytes, taken as big-endian words of two; a last odd byte is a high one."""
    even = data if len(data) % 2 == 0 else data + b"\0"
    words = np.frombuffer(even, ">u2")
    first = second = 0
    for start in range(0, len(words), _BLOCK):
        sums = words[start : start + _BLOCK].astype(np.uint64)
        np.cumsum(sums, out=sums)
        second += first * len(sums) + int(sums.sum())
        first += int(sums[-1])
    return _folded(second) << 16 | _folded(first)


def with_checksum(encoded: bytes) -> bytes:
    """A chunk with its checksum behind it."""
    return encoded + struct.pack("<I", fletcher32(encoded))


def _folded(total: int) -> int:
    """The remainder as sums of ones' complement have it: zero only if every word is."""
    return total % _MODULUS or (_MODULUS if total else 0)
