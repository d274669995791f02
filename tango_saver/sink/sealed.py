"""Which files are sealed, by what lies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".seal"


def seal_path(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_name(path.name + SUFFIX)


def is_sealed(path: Path) -> bool:
    """Whether a file has a seal."""
    try:
        return seal_path(path).exists()
    except OSError:  # a name that leaves no room for the suffix
        return False


def sealed_in(folder: Path) -> Iterator[Path]:
    """The files below a folder that have a seal, those included that are gone."""
    for found in folder.rglob(f"*{SUFFIX}"):
        yield found.with_name(found.name.removesuffix(SUFFIX))
