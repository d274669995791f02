"""Headers of EDF files: where the pixels of each frame lie."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PyMca5.PyMcaIO.EdfFile import EdfFile

from tango_saver.model.plan import PixelDataset
from tango_saver.sink.edf import EdfError, UnfinishedEdfError, edf_frames, parse_header

HEADER = (
    "{\nEDF_HeaderSize = 512 ;\nByteOrder = LowByteFirst ;\nDataType = UnsignedShort ;\n"
    "Dim_1 = 12 ;\nDim_2 = 16 ;\nSize = 384 ;\n}\n"
)
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")


def changed(old: str, new: str) -> bytes:
    assert old in HEADER
    return HEADER.replace(old, new).encode()


def test_a_header_says_type_byte_order_rows_and_columns() -> None:
    assert parse_header(HEADER.encode()) == (np.dtype("<u2"), (16, 12))
    big = changed("LowByteFirst ;\nDataType = UnsignedShort", "HighByteFirst ;\nDataType = Float")
    assert parse_header(big) == (np.dtype(">f4"), (16, 12))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (changed("UnsignedShort", "Complex"), "DataType 'Complex'"),
        (changed("LowByteFirst", "Middle"), "ByteOrder 'Middle'"),
        (changed("Dim_1 = 12 ;\n", ""), "no usable Dim_1"),
        (changed("Dim_2 = 16", "Dim_2 = -16"), "no usable Dim_2"),
        (changed("Dim_2 = 16", f"Dim_2 = {'9' * 40}"), "no usable Dim_2"),
        (changed("Dim_2 = 16", "Dim_2 = ²"), "no usable Dim_2"),
        (changed("Size = 384", "Dim_3 = 2 ;\nSize = 384"), "three dimensions"),
        (changed("Size = 384", "Compression = GzipCompression ;\nSize = 9"), "compressed"),
        (b"\x89HDF\r\n\x1a\n", "no EDF header"),
    ],
)
def test_what_hdf5_cannot_show_is_told(header: bytes, reason: str) -> None:
    with pytest.raises(EdfError, match=reason):
        parse_header(header)


@given(
    frames=st.lists(
        st.tuples(st.sampled_from(DTYPES), st.integers(1, 5), st.integers(1, 7)),
        min_size=1,
        max_size=4,
    ),
    comment=st.text(st.characters(codec="ascii", exclude_characters="{};=\0"), max_size=700),
)
def test_pixels_lie_where_another_program_has_written_them(
    frames: list[tuple[str, int, int]], comment: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("edf") / "some.edf"
    images = [
        np.arange(rows * columns).reshape(rows, columns).astype(kind)
        for kind, rows, columns in frames
    ]
    for image in images:
        EdfFile(str(path)).WriteImage({"comment": comment}, image, Append=1)
    found = list(edf_frames(str(path)))
    raw = path.read_bytes()
    assert [(frame.dtype.newbyteorder("="), frame.shape) for frame in found] == [
        (image.dtype, image.shape) for image in images
    ]
    for frame, image in zip(found, images, strict=True):
        pixels = np.frombuffer(raw[frame.offset :][: frame.n_bytes], frame.dtype)
        assert (pixels.reshape(frame.shape) == image).all()


@given(size=st.integers(0, 2 * 896 - 1))
def test_a_file_that_is_being_written_has_the_frames_that_are_there_wholly(
    size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("edf") / "some.edf"
    header = HEADER.replace("}\n", " " * (512 - len(HEADER)) + "}\n").encode()
    path.write_bytes((2 * (header + bytes(384)))[:size])
    n_whole = size // 896
    assert [frame.offset for frame in islice(edf_frames(str(path)), n_whole)] == [
        number * 896 + 512 for number in range(n_whole)
    ]
    if size % 896:
        with pytest.raises(UnfinishedEdfError):
            list(edf_frames(str(path)))


def test_a_file_without_end_is_not_read_for_a_header(tmp_path: Path) -> None:
    path = tmp_path / "endless.edf"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(10 * 1024**3)
    with pytest.raises(UnfinishedEdfError, match="no whole EDF header"):
        next(edf_frames(str(path)))


def test_frames_have_to_be_as_published(tmp_path: Path) -> None:
    path = tmp_path / "some.edf"
    path.write_bytes(HEADER.encode() + bytes(384))
    (frame,) = edf_frames(str(path))

    def asked(dtype: str, shape: tuple[int, int]) -> PixelDataset:
        return PixelDataset("/1.1/image", "cam:image", "/1.1/parts", np.dtype(dtype), shape)

    assert frame.difference(asked(">u2", (16, 12))) == ""
    assert "shape (16, 12)" in frame.difference(asked("<u2", (12, 16)))
    assert "type uint16" in frame.difference(asked("<i2", (16, 12)))
