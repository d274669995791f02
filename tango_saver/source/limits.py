"""What no publisher of either generation means: it is taken for nonsense."""

from __future__ import annotations

MOST_POINTS = 2**40
"""Of a channel."""

LARGEST_POINT = 2**30
"""Bytes. Redis itself keeps no value above 512 MB."""
