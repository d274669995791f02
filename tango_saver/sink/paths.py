"""Where a target may lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tango_saver.errors import TargetPathError, TargetUnusableError

_LONGEST_NAME = 255
"""Bytes of one name on every file system in use."""
_LONGEST_PATH = 4095
"""Bytes of a path on Linux."""


def check_target(path: str, allowed_roots: Sequence[str]) -> Path:
    """The target as a resolved path, if it may be written.

    Args:
        path: as published by the session.
        allowed_roots: folders below which it must lie; empty allows every absolute path.

    Raises:
        TargetPathError: empty, relative, with ``..``, NUL or an overlong name, or, once all
            symbolic links are followed, outside of every root.
    """
    problem = _problem(path)
    if problem:
        raise TargetPathError(
            f"the target {path[:200]!r} {problem}",
            advice="Correct SCAN_SAVING in the session",
        )
    resolved = _resolved(path)
    roots = [_resolved(root) for root in allowed_roots]
    if roots and not any(root in resolved.parents for root in roots):
        leads = "" if str(resolved) == path else f", which is {str(resolved)!r},"
        raise TargetPathError(
            f"the target {path!r}{leads} is outside the allowed roots "
            + ", ".join(str(root) for root in roots),
            advice="Correct SCAN_SAVING in the session, or add its folder to the allowed roots",
        )
    return resolved


def disk_free_bytes(path: str | Path) -> int:
    """Free space where ``path`` lies or would lie, in bytes.

    Raises:
        TargetUnusableError: the file system does not answer.
    """
    place = Path(path)
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free
    except OSError as error:
        raise TargetUnusableError(
            f"the free space of {place} is unknown: {error.strerror or error}",
            advice="Check that its file system is mounted",
        ) from error


def _problem(path: str) -> str:  # noqa: PLR0911 - a list of rules, each with its answer
    if not path:
        return "is empty"
    if "\0" in path:
        return "has a NUL character"
    if not path.startswith("/"):
        return "is not an absolute path"
    if ".." in path.split("/"):
        return 'has ".." in it'
    if path.endswith("/"):
        return "is a folder, not a file"
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return "has characters that no file name can have"
    if len(encoded) > _LONGEST_PATH or any(
        len(name) > _LONGEST_NAME for name in encoded.split(b"/")
    ):
        return "is longer than a file system allows"
    return ""


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise TargetPathError(
            f"the path {path!r} cannot be followed: {error}",
            advice="Remove the symbolic links that lead in a circle",
        ) from error
