"""The specification of a channel, from its node and its info."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tango_saver.model.scan import ChannelKind, ChannelSpec, Json
from tango_saver.source.bliss1.cameras import camera_info
from tango_saver.source.bliss1.classes import DecodingError, Value, dtype_of, is_text_class
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.scan_nodes import CAMERA, REFERENCES_TO_SCANS, ChannelNode
from tango_saver.source.bliss1.tree import DATA, decode_fields
from tango_saver.source.limits import LARGEST_POINT

_MOST_DIMENSIONS = 31
"""HDF5 allows 32, one of them counts the points."""
_GONE = "its points are not in Redis any more: BLISS 1 keeps them for ten minutes after a scan"


def decode_channel(
    channel: ChannelNode, channel_info: Mapping[str, Any], version: str, name: str = ""
) -> tuple[ChannelSpec, bool]:
    """The specification of a channel; what cannot be saved has its ``problem`` set.

    Args:
        channel: its node.
        channel_info: ``info["channels"]`` of the scan.
        version: of BLISS.
        name: under which it is known; as published if empty.

    Returns:
        the specification, and whether it is a camera that has not been prepared yet.
    """
    fields, _ = decode_fields(channel.fields)
    published = fields.get("fullname")
    full_name = name or (published if isinstance(published, str) else "") or channel.node.name
    found = channel_info.get(full_name)
    hints: Mapping[str, Json] = found if isinstance(found, Mapping) else {}
    kind, problem, waiting = ChannelKind.NUMERIC, "", False
    dtype: np.dtype[Any] | None = None
    shape: tuple[int | None, ...] | None = None
    info: dict[str, Json] = {}
    if channel.node.kind == CAMERA:
        kind = ChannelKind.IMAGE_REFERENCE
        waiting = channel.references is None
        info, problem = _camera(channel, fields, version)
    elif channel.node.kind == REFERENCES_TO_SCANS:
        kind = ChannelKind.SUBSCANS
    elif is_text_class(fields.get("dtype")):
        kind = ChannelKind.JSON
    else:
        dtype, shape, problem = _numbers(fields)
    unit = fields.get("unit")
    spec = ChannelSpec(
        name=full_name or channel.node.key,
        stream=channel.stream,
        kind=kind,
        dtype=dtype,
        shape=shape,
        unit=unit if isinstance(unit, str) else _text(hints, "unit"),
        device=_text(hints, "device"),
        display_name=_text(hints, "display_name"),
        info=info,
        hints=hints,
        problem=problem,
    )
    return spec, waiting


def _numbers(
    fields: Mapping[str, Value],
) -> tuple[np.dtype[Any] | None, tuple[int | None, ...] | None, str]:
    """Dtype and shape of a point, and what is wrong with them; both None for no numbers."""
    dtype = dtype_of(fields.get("dtype"))
    if dtype is None or dtype.kind not in "biufc":
        return None, None, "its dtype is not that of a number"
    return dtype, *_shape(fields.get("shape"), dtype)


def lost_channel(name: str, scan: str) -> ChannelSpec:
    """A channel of a scan whose nodes have expired."""
    stream = f"{scan}:{name}{DATA}"
    return ChannelSpec(name, stream, ChannelKind.NUMERIC, None, None, problem=_GONE)


def _camera(
    channel: ChannelNode, fields: Mapping[str, Value], version: str
) -> tuple[dict[str, Json], str]:
    references: Value = None
    if channel.references is not None:
        try:
            references = decode(channel.references)
        except DecodingError as error:
            return {}, f"where its images are cannot be read: {error.fact}"
    return camera_info(fields, references if isinstance(references, dict) else None, version)


def _shape(value: Value, dtype: np.dtype[Any]) -> tuple[tuple[int | None, ...] | None, str]:
    """The shape of one point, None for a dimension that varies, and what is wrong with it.

    Points of shape ``(1,)`` are samples, whose number varies: it was not known yet.
    """
    if not isinstance(value, list | tuple) or len(value) > _MOST_DIMENSIONS:
        return None, "the shape of its points is no tuple of sizes"
    sizes = [size.item() if isinstance(size, np.integer) else size for size in value]
    if not all(type(size) is int and size >= -1 for size in sizes):
        return None, "the shape of its points is no tuple of sizes"
    if sizes == [1]:
        return (None,), ""
    if 0 in sizes:
        return None, "its points have no values"
    if math.prod((abs(size) for size in sizes), start=dtype.itemsize) > LARGEST_POINT:
        return None, "its points are larger than 1 GiB"
    return tuple(None if size == -1 else size for size in sizes), ""


def _text(hints: Mapping[str, Json], name: str) -> str:
    value = hints.get(name)
    return value if isinstance(value, str) else ""
