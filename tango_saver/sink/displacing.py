"""Takes a file away from a process that may still write it.

The name of the file is given to a copy. Whoever has the file open, on this machine or on
another, stopped in the middle of a write or not, goes on writing what nobody can find.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from tango_saver.sink.trouble import unusable

_PIECE = 1 << 30
_MOST_COPIES = 10
_LONGEST_NAME = 240


def may_be_open(path: Path) -> bool:
    """Whether another process may have a file open to write; True if it cannot be known."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def displace(path: Path) -> None:
    """Put a copy in the place of a file; readers see the one or the other, both whole.

    Raises:
        TargetUnusableError: there is no room for a copy, or it cannot be made.
    """
    name = path.name.encode(errors="surrogateescape")[:_LONGEST_NAME]
    copy = path.with_name(f".{name.decode('utf-8', 'ignore')}.copy")
    try:
        for _ in range(_MOST_COPIES):
            before = path.stat()
            _copy(path, copy)
            if _sign(path.stat()) == _sign(before):
                break  # nobody wrote in the meantime
        shutil.copystat(path, copy)
        with suppress(PermissionError):
            os.chown(copy, before.st_uid, before.st_gid)
        copy.replace(path)
    except OSError as error:
        raise unusable(path, error, "taken over") from error
    finally:
        copy.unlink(missing_ok=True)


def _sign(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _copy(path: Path, copy: Path) -> None:
    """By the file system itself where it can, which then need not read or write a byte."""
    copy.unlink(missing_ok=True)
    with path.open("rb") as source, copy.open("xb") as target:
        try:
            while os.copy_file_range(source.fileno(), target.fileno(), _PIECE):
                pass
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            source.seek(0)
            target.seek(0)
            target.truncate()
            shutil.copyfileobj(source, target, 1 << 20)
        os.fsync(target.fileno())
