"""Where the pixels lie in files of the ESRF data format (EDF), which HDF5 can show as they are.

A file is one frame behind the other, each a header and its pixels. A header is text in braces,
``{ Name = value ; ... }``, and ends with the line of the closing one; its length is told by
nothing else that all writers agree on. Source: the format's description in the documentation of
FabIO, https://www.silx.org/doc/fabio/latest/, and the files that Lima writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from tango_saver.model.plan import PixelDataset

_BLOCK = 512
_LONGEST_HEADER = 128 * _BLOCK
_END = re.compile(rb"}\r?\n")
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "unsignedbyte": "u1", "signedbyte": "i1",
        "unsignedshort": "u2", "signedshort": "i2",
        "unsignedinteger": "u4", "signedinteger": "i4",
        "unsignedlong": "u4", "signedlong": "i4",
        "unsigned64": "u8", "signed64": "i8",
        "floatvalue": "f4", "float": "f4", "doublevalue": "f8", "double": "f8",
    }
)  # fmt: skip
_ORDERS: Mapping[str, str] = MappingProxyType({"lowbytefirst": "<", "highbytefirst": ">"})
_PLAIN = frozenset({"", "none", "nocompression", "nospecificvalue"})
"""What ``Compression`` says of pixels that lie there as they are."""


class EdfError(Exception):
    """The frame cannot be shown; the text says why, to be read behind the file's name."""


class UnfinishedEdfError(EdfError):
    """The frame is not there, or not wholly: perhaps it is still being written."""


@dataclass(frozen=True, slots=True)
class EdfFrame:
    """The pixels of one frame in a file."""

    offset: int
    """Of the first byte."""
    dtype: np.dtype[Any]
    """With byte order."""
    shape: tuple[int, ...]
    """Rows, columns."""

    @property
    def n_bytes(self) -> int:
        """Of all pixels."""
        return math.prod(self.shape) * self.dtype.itemsize

    def difference(self, pixels: PixelDataset) -> str:
        """What is not as published, to be read behind the file's name; empty if nothing."""
        if self.shape != pixels.shape:
            return f"has frames of shape {self.shape}, published was {pixels.shape}"
        if self.dtype.newbyteorder("=") != pixels.dtype.newbyteorder("="):
            return f"has frames of type {self.dtype}, published was {pixels.dtype}"
        return ""


def edf_frames(file: str) -> Iterator[EdfFrame]:
    """The frames of a file, in order; only headers are read.

    Raises:
        UnfinishedEdfError: the file ends where a frame begins or goes on.
        EdfError: the next frame is compressed, or in a form that HDF5 cannot show.
        OSError: the file cannot be read.
    """
    with open(file, "rb") as opened:  # noqa: PTH123 - called for every one of thousands of files
        size = opened.seek(0, 2)
        start = 0
        while start < size:
            frame = _frame(opened, start)
            start = frame.offset + frame.n_bytes
            if start > size:
                raise UnfinishedEdfError("ends in the middle of a frame")
            yield frame


def _frame(file: BinaryIO, start: int) -> EdfFrame:
    file.seek(start)
    header = b""
    while (end := _END.search(header)) is None:
        block = file.read(_BLOCK)
        if not block or len(header) >= _LONGEST_HEADER:
            raise UnfinishedEdfError("has no whole EDF header where a frame should begin")
        header += block
    dtype, shape = parse_header(header[: end.end()])
    return EdfFrame(start + end.end(), dtype, shape)


def parse_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape (rows, columns) of the frame behind a header.

    Args:
        header: from the opening brace to the line of the closing one.

    Raises:
        EdfError: it is no header of plain pixels in two dimensions.
    """
    text = header.decode("latin-1")
    if not text.lstrip().startswith("{"):
        raise UnfinishedEdfError("has no EDF header where a frame should begin")
    halves = (field.partition("=") for field in text.lstrip()[1:].split(";"))
    fields = {name.strip().lower(): value.strip() for name, _, value in halves}
    if fields.get("compression", "").lower() not in _PLAIN:
        raise EdfError(f"is compressed ({fields['compression']})")
    if "dim_3" in fields:
        raise EdfError("has frames of three dimensions")
    kind = _TYPES.get(fields.get("datatype", "").lower())
    order = _ORDERS.get(fields.get("byteorder", "").lower())
    if kind is None or order is None:
        raise EdfError(
            f"has a DataType {fields.get('datatype')!r} and ByteOrder {fields.get('byteorder')!r}"
        )
    return np.dtype(order + kind), (_extent(fields, "dim_2"), _extent(fields, "dim_1"))


def _extent(fields: Mapping[str, str], name: str) -> int:
    value = fields.get(name, "")
    if not value.isascii() or not value.isdigit() or not 0 < int(value[:12]) < 2**31:
        raise EdfError(f"has no usable {name.capitalize()} in an EDF header")
    return int(value)
