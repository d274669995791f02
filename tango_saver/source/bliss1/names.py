"""What the name of a scan's node says: ``12_ascan``, or ``_12_ct`` for one that is not saved."""

from __future__ import annotations

import re

_NAME = re.compile(r"_?(\d{1,18})_(.*)", re.DOTALL)


def scan_number(key: str) -> int:
    """Number of a scan; 0 if its name has none."""
    match = _NAME.fullmatch(key.rpartition(":")[2])
    return int(match[1]) if match else 0


def scan_name(key: str) -> str:
    """Name of a scan without its number."""
    last = key.rpartition(":")[2]
    match = _NAME.fullmatch(last)
    return match[2] if match else last


def session_of(key: str) -> str:
    """Name of the session that a node belongs to."""
    return key.partition(":")[0]
