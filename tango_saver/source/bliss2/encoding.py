"""How the stream of a channel is encoded: the entries of ``data_streams``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from tango_saver.errors import DocumentError
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanKey
from tango_saver.source.limits import LARGEST_POINT
from tango_saver.source.notes import Notes

STREAM_PREFIX = "esrf:stream:"

_MOST_DIMENSIONS = 31
"""HDF5 allows 32, one of them counts the points."""

_PLAIN_DTYPE = re.compile(
    r"[<>|=]?(?:[biufc]\d{1,2}|\?|bool|u?int\d{1,2}|float\d{1,3}|complex\d{1,3})"
)
_IMAGE_PLUGINS = frozenset({"lima", "lima2", "mosca"})
_IMAGE_FORMATS = frozenset({"lima_v1", "lima_v2"})


class _Stream(msgspec.Struct):
    pk: str
    encoding: Any = None
    info: Any = None


def _dtype(text: Any) -> np.dtype[Any]:
    """A plain numeric dtype, or ValueError with the reason."""
    if not isinstance(text, str):
        raise ValueError("its encoding has no dtype")  # noqa: TRY004 - one error for all reasons
    shown = text[:40]
    if not _PLAIN_DTYPE.fullmatch(text):
        raise ValueError(f"its dtype {shown!r} is not a plain number")
    try:
        return np.dtype(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its dtype {shown!r} is unknown") from error


def _shape(value: Any, dtype: np.dtype[Any]) -> tuple[int | None, ...]:
    """The shape of one point, None for a dimension that varies, or ValueError."""
    if (
        not isinstance(value, list)
        or len(value) > _MOST_DIMENSIONS
        or not all(isinstance(n, int) and not isinstance(n, bool) and n >= -1 for n in value)
    ):
        raise ValueError("the shape of its points is not a list of sizes")
    if math.prod((abs(n) for n in value), start=dtype.itemsize) > LARGEST_POINT:
        raise ValueError("its points are larger than 1 GiB")
    if 0 in value:
        raise ValueError("its points have no values")
    return tuple(None if n == -1 else n for n in value)


def _numbers(
    encoding: Mapping[str, Json],
) -> tuple[np.dtype[Any] | None, tuple[int | None, ...] | None, str]:
    """Dtype and shape of a point, and what is wrong with them; both None for JSON."""
    if encoding.get("type") == "numeric":
        try:
            dtype = _dtype(encoding.get("dtype_str"))
            return dtype, _shape(encoding.get("shape"), dtype), ""
        except ValueError as error:
            return None, None, str(error)
    return None, None, "" if encoding.get("type") == "json" else "its encoding is unknown"


def _kind(encoding: Mapping[str, Json], info: Mapping[str, Json]) -> ChannelKind:
    # Publishers before blissdata 2 named no plugin, only a format.
    plugin, stream_format = (
        value if isinstance(value, str) else ""
        for value in (info.get("plugin"), info.get("format"))
    )
    if plugin in _IMAGE_PLUGINS or stream_format in _IMAGE_FORMATS:
        return ChannelKind.IMAGE_REFERENCE
    if plugin == "scan_sequence" or stream_format == "subscan":
        return ChannelKind.SUBSCANS
    return ChannelKind.JSON if encoding.get("type") == "json" else ChannelKind.NUMERIC


def _stream(name: str, value: Any, key: ScanKey) -> _Stream:
    where = f"$.data_streams[{name!r}]"
    try:
        stream = msgspec.convert(value, _Stream)
    except msgspec.ValidationError as error:
        raise bad_field(error, where, key) from error
    if not stream.pk:
        raise DocumentError(f"a stream has no key: {where}.pk", scan=key)
    return stream


def bad_field(error: msgspec.ValidationError, where: str, key: ScanKey) -> DocumentError:
    """The error of ours for one of msgspec, with the path below ``where``."""
    fact, _, path = str(error).partition(" - at `")
    return DocumentError(
        f"{fact[:1].lower()}{fact[1:]}: {where}{path.rstrip('`').removeprefix('$')}",
        scan=key,
        advice="The scan cannot be saved; its publisher has to be corrected",
    )


def decode_channel(
    name: str, value: Any, channel_info: Mapping[str, Any], key: ScanKey, notes: Notes
) -> ChannelSpec:
    """One entry of ``data_streams``; what cannot be saved has its ``problem`` set.

    Args:
        name: full name of the channel.
        value: the entry, decoded from JSON.
        channel_info: ``info["channels"]`` of the scan.
        key: the scan, for errors.
        notes: takes what was left aside.

    Raises:
        DocumentError: the key of the stream is missing or no text.
    """
    stream = _stream(name, value, key)
    path = f"data_streams[{name!r}]"
    parts = {"encoding": stream.encoding, "info": stream.info}
    encoding: dict[str, Any] = notes.part(parts, "encoding", dict, {}, path=f"{path}.encoding")
    info: dict[str, Any] = notes.part(parts, "info", dict, {}, path=f"{path}.info")
    path = f"info.channels[{name!r}]"
    hints: dict[str, Any] = notes.part(channel_info, name, dict, {}, path=path)

    kind = _kind(encoding, info)
    dtype, shape, problem = _numbers(encoding)
    if kind is ChannelKind.JSON and problem:
        kind = ChannelKind.NUMERIC
    numeric = kind is ChannelKind.NUMERIC
    if not numeric and dtype is not None and dtype.kind not in "iu":
        dtype, problem = None, "its status is neither a whole number nor JSON"
    return ChannelSpec(
        name=name,
        stream=f"{STREAM_PREFIX}{stream.pk}",
        kind=kind,
        dtype=dtype if numeric else None,
        shape=shape if numeric else None,
        unit=notes.part(hints, "unit", str, "", path=f"{path}.unit"),
        device=notes.part(hints, "device", str, "", path=f"{path}.device"),
        display_name=notes.part(hints, "display_name", str, "", path=f"{path}.display_name"),
        info=info,
        hints=hints,
        status_dtype=None if numeric else dtype,
        problem=problem,
    )
