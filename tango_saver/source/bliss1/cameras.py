"""Where a Lima camera of BLISS 1 puts its images, in the terms of today's BLISS."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tango_saver.model.scan import Json
from tango_saver.source.bliss1.classes import Value, dtype_of

_INDEX_FORMAT = re.compile(r"%(\d{0,2})d")
_OLD_LIMA = "<1.9.1"
_NOT_SAVING = "NOSAVING"
_LARGEST = 2**31


def camera_info(
    fields: Mapping[str, Value], references: Mapping[str, Value] | None, version: str
) -> tuple[dict[str, Json], str]:
    """The info of a camera's channel, as BLISS >= 2 publishes it.

    Args:
        fields: the info of the node, decoded.
        references: what was published when the camera was prepared; None if it was not.
        version: of BLISS.

    Returns:
        the info, and why it cannot be known where the images are; empty if it can, or if the
        camera saves none.
    """
    shape = fields.get("shape")
    dtype = dtype_of(fields.get("dtype"))
    info: dict[str, Json] = {
        "plugin": "lima",
        "dtype": dtype.str if dtype is not None else "",
        "shape": [int(size) for size in shape if isinstance(size, int)]
        if isinstance(shape, list | tuple)
        else [],
        "lima_info": {},
    }
    saving = {**(references or {})}
    if not references or saving.get("saving_mode", _NOT_SAVING) == _NOT_SAVING:
        return info, ""
    try:
        info["lima_info"] = _lima_info(saving, version)
    except _UnusableError as error:
        return info, f"where its images are is not clear: {error}"
    return info, ""


class _UnusableError(Exception):
    """What is wrong with the parameters of the saving."""


def _lima_info(saving: Mapping[str, Value], version: str) -> dict[str, Json]:
    index = _INDEX_FORMAT.fullmatch(_text(saving, "saving_index_format", "%04d"))
    if index is None:
        raise _UnusableError("saving_index_format is no format of a whole number")
    file_format = _text(saving, "saving_format")
    is_hdf5 = file_format.lower().startswith("hdf5")
    prefix = _text(saving, "saving_prefix", "")
    first = _number(saving, "saving_next_number", 0)
    camera = _text(saving, "user_detector_name", "") if is_hdf5 else ""
    instrument = _text(saving, "user_instrument_name", "instrument")
    if _text(saving, "lima_version", _OLD_LIMA) == _OLD_LIMA:
        data_path = f"/entry_0000/instrument/{camera}/data/array"
    else:
        data_path = f"/entry_0000/{instrument}/{camera}/data"
    if _text(saving, "saving_managed_mode", "SOFTWARE") == "HARDWARE":
        prefix, data_path = f"{prefix}_data_", "/entry/data/data"
        first += is_hdf5
    name = f"{prefix}\0{_text(saving, 'saving_suffix', '')}"
    if "/" in name:
        raise _UnusableError("the name of a file has a slash")
    folder = _text(saving, "saving_directory")
    before, _, after = f"{folder.rstrip('/')}/{name}".replace("%", "%%").partition("\0")
    width = f"%0{index[1]}d" if index[1] else "%d"
    per_acquisition = _number(saving, "saving_frame_per_acquisition", 0)
    return {
        "file_path": f"{before}{width}{after}",
        "file_offset": first,
        "file_format": file_format,
        "data_path": data_path if is_hdf5 else "",
        "frame_per_file": _number(saving, "saving_frame_per_file", 1),
        # Up to 1.8 files are counted as if there was one long acquisition.
        "frame_per_acquisition": 0 if _counts_through(version) else per_acquisition,
    }


def _counts_through(version: str) -> bool:
    match = re.match(r"1\.(\d{1,3})\b", version)
    return match is not None and int(match[1]) < 11  # noqa: PLR2004 - BLISS 1.11


def _text(saving: Mapping[str, Value], name: str, default: str | None = None) -> str:
    value = saving.get(name, default)
    if not isinstance(value, str) or "\0" in value:
        raise _UnusableError(f"{name} is no text")
    return value


def _number(saving: Mapping[str, Value], name: str, default: int) -> int:
    value = saving.get(name, default)
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise _UnusableError(f"{name} is no number")
    return value
