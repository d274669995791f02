"""Points of every kind come back from the file as they were appended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import pytest
from file.reader_process import ReaderProcess
from file.sink_plans import PLAIN_FILTERS, plan_of, stream, text_stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tango_saver.errors import DatasetError
from tango_saver.model.plan import Filter, StreamDataset
from tango_saver.model.records import FixedPoints, JsonPoints, RaggedPoints
from tango_saver.sink.file import TargetFile

DTYPES = (
    *("<f4", "<f8", ">f8", "<f2", "i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4"),
    *("<i8", ">u8", "?", "<c8", "<c16", ">c16"),
)
A_STEP = st.one_of(
    st.integers(0, 45),  # append so many points
    st.just("flush"),
    st.tuples(st.just("gap"), st.integers(1, 80)),
)


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def points_of(dtype: str, shape: tuple[int, ...], first: int, n_points: int) -> np.ndarray:
    """Values that tell every element of every point apart (as far as the type can)."""
    count = int(np.prod(shape))
    numbers = np.arange(first * count, (first + n_points) * count)
    kind = np.dtype(dtype)
    if kind.kind == "c":
        values = numbers + 1j * (numbers + 1)
    elif kind.kind == "b":
        values = numbers % 3 == 0
    else:
        values = numbers % 251 if kind.itemsize == 1 or kind.kind == "f" else numbers
    return values.astype(kind).reshape(n_points, *shape)


def missing(dtype: str, shape: tuple[int, ...], n_points: int) -> np.ndarray:
    fill = np.nan if np.dtype(dtype).kind in "fc" else 0
    return np.full((n_points, *shape), fill, dtype)


def assert_same(read: np.ndarray, expected: np.ndarray) -> None:
    assert read.dtype == expected.dtype
    assert read.shape == expected.shape
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("filter_", PLAIN_FILTERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_keeps_its_values_and_byte_order(
    tmp_path: Path, reader: ReaderProcess, dtype: str, filter_: Filter
) -> None:
    path = tmp_path / "scan.h5"
    specs = (
        stream("scalar", dtype, (), (16,), filter_),
        stream("spectrum", dtype, (7,), (4, 7), filter_),
        stream("image", dtype, (5, 6), (3, 2, 4), filter_),
    )
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, *specs))
    for first, n_points in ((0, 3), (3, 20), (23, 1)):
        for spec in specs:
            values = points_of(dtype, spec.shape, first, n_points)
            scan.append(spec.channel, first, FixedPoints(values))
        file.flush()
        seen = reader.read(path, *(spec.path for spec in specs))
        for spec, values in zip(specs, seen, strict=True):
            assert_same(values, points_of(dtype, spec.shape, 0, first + n_points))
    scan.finish(plan_of(path, *specs))
    file.close()
    for spec, values in zip(specs, reader.read(path, *(s.path for s in specs)), strict=True):
        assert_same(values, points_of(dtype, spec.shape, 0, 24))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(A_STEP, max_size=14),
    shape_and_chunk=st.sampled_from(
        [((), (1,)), ((), (10,)), ((), (64,)), ((3,), (8, 3)), ((5,), (4, 2)), ((2, 3), (5, 2, 2))]
    ),
    dtype=st.sampled_from(["<f8", ">i4", "u1", "<c16"]),
    filter_=st.sampled_from(PLAIN_FILTERS),
    in_threads=st.booleans(),
)
def test_any_sequence_of_appends_gaps_and_flushes_gives_the_same_dataset(
    tmp_path: Path,
    reader: ReaderProcess,
    executor: ThreadPoolExecutor,
    steps: list[Any],
    shape_and_chunk: tuple[tuple[int, ...], tuple[int, ...]],
    dtype: str,
    filter_: Filter,
    in_threads: bool,
) -> None:
    shape, chunk = shape_and_chunk
    path = tmp_path / f"{uuid4().hex}.h5"
    spec = stream("c", dtype, shape, chunk, filter_)
    file = TargetFile.open(path, executor=executor if in_threads else None)
    scan = file.begin(plan_of(path, spec))
    expected = missing(dtype, shape, 0)
    for step in steps:
        first = len(expected)
        if step == "flush":
            file.flush()
            assert scan.confirmed().get("c", 0) == len(expected)
            (seen,) = reader.read(path, spec.path)
            assert_same(seen if seen is not None else missing(dtype, shape, 0), expected)
        elif isinstance(step, tuple):
            scan.fill_gap("c", first, first + step[1])
            expected = np.concatenate([expected, missing(dtype, shape, step[1])], dtype=dtype)
        else:
            values = points_of(dtype, shape, first, step)
            scan.append("c", first, FixedPoints(values))
            expected = np.concatenate([expected, values], dtype=dtype)
        assert scan.lengths().get("c", 0) == len(expected)
    scan.finish(plan_of(path, spec))
    file.close()
    (seen,) = reader.read(path, spec.path)
    assert_same(seen if seen is not None else missing(dtype, shape, 0), expected)
    path.unlink()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7)), min_size=1, max_size=6),
        max_size=8,
    ),
    two_dimensions=st.booleans(),
    filter_=st.sampled_from(PLAIN_FILTERS),
    flushed=st.booleans(),
)
def test_points_of_varying_shape_are_padded_and_their_extents_kept(
    tmp_path: Path,
    reader: ReaderProcess,
    batches: list[list[tuple[int, int]]],
    two_dimensions: bool,
    filter_: Filter,
    flushed: bool,
) -> None:
    path = tmp_path / f"{uuid4().hex}.h5"
    shape, chunk = ((None, None), (4, 3, 2)) if two_dimensions else ((None,), (4, 3))
    spec = stream("r", "<f8", shape, chunk, filter_)
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    expected: list[np.ndarray] = []
    for batch in batches:
        extents = [pair if two_dimensions else pair[:1] for pair in batch]
        values = [
            np.random.default_rng(len(expected) + index).random(extent)
            for index, extent in enumerate(extents)
        ]
        scan.append("r", len(expected), RaggedPoints(tuple(values)))
        expected += values
        if flushed:
            file.flush()
            assert_padded(reader, path, spec, expected)
    scan.finish(plan_of(path, spec))
    file.close()
    if expected:
        assert_padded(reader, path, spec, expected)
    path.unlink()


def assert_padded(
    reader: ReaderProcess, path: Path, spec: StreamDataset, expected: list[np.ndarray]
) -> None:
    padded, lengths = reader.read(path, spec.path, f"{spec.path}_lengths")
    true = np.array([value.shape for value in expected])
    assert padded.shape == (len(expected), *true.max(axis=0))
    np.testing.assert_array_equal(lengths, true[:, 0] if true.shape[1] == 1 else true)
    for row, value in zip(padded, expected, strict=True):
        whole = np.full(row.shape, np.nan)
        whole[tuple(slice(0, extent) for extent in value.shape)] = value
        np.testing.assert_array_equal(row, whole)


def test_batches_of_one_shape_count_as_varying_points_too(
    tmp_path: Path, reader: ReaderProcess
) -> None:
    path = tmp_path / "scan.h5"
    spec = stream("r", "<i4", (None, 2), (4, 3, 2))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.append("r", 0, FixedPoints(np.ones((3, 5, 2), "<i4")))
    scan.append("r", 3, FixedPoints(np.full((2, 1, 2), 2, "<i4")))
    scan.fill_gap("r", 5, 6)
    scan.finish(plan_of(path, spec))
    file.close()
    padded, lengths = reader.read(path, spec.path, f"{spec.path}_lengths")
    assert lengths.tolist() == [5, 5, 5, 1, 1, 0]
    assert padded[3].tolist() == [[2, 2], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_texts_and_other_json_values_are_stored_as_utf8(
    tmp_path: Path, reader: ReaderProcess
) -> None:
    path = tmp_path / "scan.h5"
    spec = text_stream("t")
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.append("t", 0, JsonPoints(("µm", {"a": [1, None]}, None, 2.5)))
    file.flush()
    scan.append("t", 4, JsonPoints(("nul \0", "half \ud800")))
    scan.fill_gap("t", 6, 8)
    scan.append("t", 8, JsonPoints(("",)))
    scan.append("t", 9, JsonPoints(tuple(str(number) for number in range(30))))
    scan.finish(plan_of(path, spec))
    file.close()
    (texts,) = reader.read(path, spec.path)
    assert [text.decode() for text in texts[:9]] == [
        *("µm", '{"a":[1,null]}', "null", "2.5", "nul \\x00", "half \\ud800", "", "", ""),
    ]
    assert [text.decode() for text in texts[9:]] == [str(number) for number in range(30)]
    with h5py.File(path) as file:
        assert h5py.check_string_dtype(file[spec.path].dtype).encoding == "utf-8"


def test_a_huge_gap_takes_no_space(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    spec = stream("image", "<u2", (512, 512), (1, 512, 512))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.fill_gap("image", 0, 1_000_000)
    scan.append("image", 1_000_000, FixedPoints(np.ones((1, 512, 512), "<u2")))
    scan.finish(plan_of(path, spec))
    file.close()
    assert path.stat().st_size < 100_000
    with h5py.File(path) as opened:
        assert opened[spec.path].shape == (1_000_001, 512, 512)
        assert not opened[spec.path][999_999].any()
        assert opened[spec.path][1_000_000].all()


def test_a_reader_needs_nothing_but_h5py(tmp_path: Path, reader: ReaderProcess) -> None:
    path = tmp_path / "scan.h5"
    spec = stream("mca", "<u4", (256,), (16, 256))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    values = np.random.default_rng(0).poisson(3.0, (100, 256)).astype("<u4")
    scan.append("mca", 0, FixedPoints(values))
    scan.finish(plan_of(path, spec))
    file.close()
    assert_same(reader.read(path, spec.path)[0], values)
    assert reader.foreign_modules() == []
    with h5py.File(path) as opened:
        dataset = opened[spec.path]
        assert (dataset.compression, dataset.shuffle) == ("gzip", True)
        assert dataset.maxshape == (None, None)
        assert dataset.id.get_storage_size() < values.nbytes / 4


@pytest.mark.parametrize(
    "points",
    [
        FixedPoints(np.ones((2, 3), "<f4")),
        FixedPoints(np.ones((2, 4), "<f8")),
        FixedPoints(np.ones(2, "<f8")),
        RaggedPoints((np.ones(3), np.ones(2))),
        JsonPoints((1, 2)),
    ],
    ids=["type", "shape", "rank", "ragged", "json"],
)
def test_points_that_are_not_as_planned_cost_their_channel_alone(
    tmp_path: Path, reader: ReaderProcess, points: Any
) -> None:
    path = tmp_path / "scan.h5"
    good, bad = stream("good"), stream("bad", "<f8", (3,), (4, 3))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, good, bad))
    scan.append("bad", 0, FixedPoints(np.ones((5, 3))))
    with pytest.raises(DatasetError, match=r"/1.1/instrument/bad/data") as caught:
        scan.append("bad", 5, points)
    assert caught.value.channel == "bad"
    with pytest.raises(DatasetError):
        scan.append("bad", 5, FixedPoints(np.ones((5, 3))))
    scan.append("good", 0, FixedPoints(np.arange(30.0)))
    assert list(scan.failed_channels) == ["bad"]
    scan.finish(plan_of(path, good, bad))
    file.close()
    saved, kept = reader.read(path, good.path, bad.path)
    assert saved.tolist() == list(range(30))
    assert kept.shape == (5, 3)


def test_points_that_come_twice_or_too_late_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, stream("c")))
    scan.append("c", 0, FixedPoints(np.arange(4.0)))
    for first in (0, 3, 5):
        with pytest.raises(DatasetError, match=f"point {first} came when 4 points"):
            scan.append("c", first, FixedPoints(np.arange(2.0)))
    with pytest.raises(DatasetError, match="no dataset"):
        scan.append("unknown", 0, FixedPoints(np.arange(2.0)))
    scan.append("c", 4, FixedPoints(np.arange(2.0)))
    assert scan.lengths() == {"c": 6}
    file.close()
