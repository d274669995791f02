"""Where a target may lie."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tango_saver.errors import TargetForbiddenError, TargetPathError, TargetUnusableError
from tango_saver.sink.sealed import is_sealed

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
    problem = _problem(path) or ("is a folder, not a file" if path.endswith("/") else "")
    return _below_roots("target", path, problem, allowed_roots)


def check_folder(path: str, allowed_roots: Sequence[str]) -> Path:
    """A folder as a resolved path, if it may be made.

    Args:
        path: as asked for.
        allowed_roots: folders that it must be, or lie below; empty allows every absolute path.

    Raises:
        TargetPathError: see ``check_target``.
    """
    return _below_roots("folder", path, _problem(path), allowed_roots)


def check_writable(path: Path) -> None:
    """Nothing forbids that the file is written, or made with its folders.

    A sealed file is left to whoever opens it: its scan goes beside it.

    Raises:
        TargetForbiddenError: the saver has no right to.
    """
    place = path.parent if is_sealed(path) else path
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        needed = os.W_OK | os.X_OK if place.is_dir() else os.W_OK
        allowed = os.access(place, needed)
    except PermissionError:
        allowed = False
    if not allowed:
        raise TargetForbiddenError(
            f"{place} may not be written",
            advice="Give the saver's user the right to write there, or choose another folder",
        )


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
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        return "has characters that no file name can have"
    if len(encoded) > _LONGEST_PATH or any(
        len(name) > _LONGEST_NAME for name in encoded.split(b"/")
    ):
        return "is longer than a file system allows"
    return ""


def _below_roots(kind: str, path: str, problem: str, allowed_roots: Sequence[str]) -> Path:
    if problem:
        raise TargetPathError(
            f"the {kind} {path[:200]!r} {problem}",
            advice="Correct SCAN_SAVING in the session",
        )
    resolved = _resolved(path)
    roots = [_resolved(root) for root in allowed_roots]
    among = {resolved, *resolved.parents} if kind == "folder" else set(resolved.parents)
    if roots and among.isdisjoint(roots):
        leads = "" if str(resolved) == path else f", which is {str(resolved)!r},"
        raise TargetPathError(
            f"the {kind} {path!r}{leads} is outside the allowed roots "
            + ", ".join(str(root) for root in roots),
            advice="Correct SCAN_SAVING in the session, or add its folder to the allowed roots",
        )
    return resolved


def _resolved(path: str) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise TargetPathError(
            f"the path {path!r} cannot be followed: {error}",
            advice="Remove the symbolic links that lead in a circle",
        ) from error
