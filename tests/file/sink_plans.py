"""Plans of scans with the channels that a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tango_saver.model.plan import (
    FilePlan,
    Filter,
    Group,
    Node,
    PointKind,
    SoftLink,
    Storage,
    StreamDataset,
    Value,
)

PLAIN_FILTERS = (Filter.NONE, Filter.DEFLATE, Filter.GZIP, Filter.SHUFFLE)
"""Those that h5py reads without further packages."""


def stream(
    name: str,
    dtype: npt.DTypeLike = "<f8",
    shape: tuple[int | None, ...] = (),
    chunk: tuple[int, ...] = (16,),
    filter: Filter = Filter.DEFLATE,  # noqa: A002 - the field's name
    **rest: Any,
) -> StreamDataset:
    """A numeric channel at ``/1.1/instrument/<name>/data``, linked from measurement."""
    path = f"/1.1/instrument/{name}/data"
    rest.setdefault("companions", (SoftLink(f"/1.1/measurement/{name}", path),))
    return StreamDataset(
        path, name, PointKind.NUMERIC, np.dtype(dtype), shape, Storage(chunk, filter), **rest
    )


def text_stream(name: str, chunk: int = 8) -> StreamDataset:
    """A channel of texts."""
    path = f"/1.1/instrument/{name}/data"
    return StreamDataset(path, name, PointKind.TEXT, None, (), Storage((chunk,)))


def plan_of(
    path: Path, *streams: StreamDataset, nodes: Sequence[Node] = (), entry: str = "1.1"
) -> FilePlan:
    """A scan with these channels."""
    return FilePlan(
        target=str(path),
        entries=(entry,),
        root_attributes={"NX_class": "NXroot", "creator": "tango_saver"},
        nodes=(
            Group(f"/{entry}", {"NX_class": "NXentry"}),
            Value(f"/{entry}/title", "a scan"),
            *nodes,
        ),
        streams={spec.channel: (spec,) for spec in streams},
        last=(Value(f"/{entry}/end_time", "2026-11-24T18:00:00+01:00"),),
        final_root_attributes={"default": entry},
    )
