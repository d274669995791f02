"""Which processes of this host hold a file: what to tell who finds it locked."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

_PROC = Path("/proc")
_LOCK_HOLDER, _LOCK_FILE = 4, 5
"""Columns of /proc/locks: process id, and major:minor:inode of the file."""


def holders(path: Path) -> str:
    """Host, user and process of whoever holds the file locked or open, in words."""
    host = socket.gethostname()
    found = [_describe(pid) for pid in sorted(_lockers(path) or _openers(path))]
    if not found:
        return f"a process that {host} does not show (perhaps on another host)"
    return f"{', '.join(found)} on {host}"


def _lockers(path: Path) -> set[int]:
    try:
        status = path.stat()
        lines = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return set()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    columns = [line.replace("-> ", "").split() for line in lines]
    return {
        int(column[_LOCK_HOLDER])
        for column in columns
        if len(column) > _LOCK_FILE and column[_LOCK_FILE] == device and int(column[4]) > 0
    }


def _openers(path: Path) -> set[int]:
    found: set[int] = set()
    for process in _PROC.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if any(link.samefile(path) for link in (process / "fd").iterdir()):
                found.add(int(process.name))
        except OSError:  # ended meanwhile, or of another user
            continue
    return found


def _describe(pid: int) -> str:
    process = _PROC / str(pid)
    try:
        name = (process / "comm").read_text().strip()
        uid = process.stat().st_uid
    except OSError:
        return f"process {pid}"
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return f"{name} (process {pid} of user {user})"
