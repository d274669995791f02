"""Where the entries of a scan may go when they cannot go to their own file.

Beside the target ``data.h5``, scan 12 goes to ``data_12.h5``, or to ``data_12_2.h5`` and so on
if that is taken. If the whole folder cannot be written, it goes to the file of the same path
below the first of the fallback roots that can: ``/reserve/data/visitor/data.h5``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

_MOST_BESIDE = 1000
_LONGEST_NAME = 255
"""Bytes of one name on every file system in use."""


def folders_for(target: Path, fallback_roots: Sequence[str]) -> tuple[Path, ...]:
    """The folders that a scan may go to, its own first."""
    own = target.parent
    return own, *(Path(root) / own.relative_to(own.anchor) for root in fallback_roots)


def files_for(target: Path, number: int, folder: Path) -> Iterator[Path]:
    """The files in one folder that a scan may go to, in this order; many, but an end of them."""
    yield folder / target.name
    for count in itertools.islice(itertools.count(1), _MOST_BESIDE):
        ending = f"_{number}{f'_{count}' if count > 1 else ''}{target.suffix or '.h5'}"
        stem = target.stem.encode()[: _LONGEST_NAME - len(ending.encode())]
        yield folder / f"{stem.decode(errors='ignore')}{ending}"
