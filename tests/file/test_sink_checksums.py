"""Chunks with a checksum: the one that HDF5 itself would write, at every moment readable."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.sink_plans import plan_of, stream
from hypothesis import example, given
from hypothesis import strategies as st

from tango_saver.model.plan import FilePlan, Filter, StreamDataset
from tango_saver.model.records import FixedPoints, RaggedPoints
from tango_saver.sink.checksum import fletcher32
from tango_saver.sink.file import TargetFile
from tango_saver.sink.scan import ScanInFile


def checked(spec: StreamDataset) -> StreamDataset:
    return replace(spec, storage=replace(spec.storage, checksum=True))


def fletcher32_of_hdf5(data: bytes) -> int:
    with h5py.File.in_memory() as file:
        values = np.frombuffer(data, "u1")
        dataset = file.create_dataset("x", data=values, chunks=values.shape, fletcher32=True)
        file.flush()
        _, stored = dataset.id.read_direct_chunk((0,))
    assert stored[:-4] == data
    return int.from_bytes(stored[-4:], "little")


@given(st.binary(min_size=1, max_size=400))
@example(b"\0" * 64)
@example(b"\xff" * 7)
@example(b"\xff\xff")
@example(b"\0\1\xff\xfe")
@example(np.random.default_rng(1).bytes(100_001))
@example(b"\xff" * 300_000)
def test_the_checksum_is_that_of_hdf5(data: bytes) -> None:
    assert fletcher32(data) == fletcher32_of_hdf5(data)


@pytest.mark.parametrize("chosen", list(Filter), ids=lambda chosen: chosen.name)
def test_points_are_intact_at_every_flush_and_every_chunk_has_its_checksum_in_the_end(
    chosen: Filter, tmp_path: Path
) -> None:
    path, values = tmp_path / "x.h5", np.random.default_rng(1).poisson(3, (70, 50)).astype("<u4")
    spec = checked(stream("c", "<u4", (50,), (16, 32), chosen))
    with ThreadPoolExecutor(2) as executor:
        file = TargetFile.open(path, executor=executor)
        scan = file.begin(plan_of(path, spec))
        for start in range(0, 70, 9):
            scan.append("c", start, FixedPoints(values[start : start + 9]))
            file.flush()
            with h5py.File(shutil.copy(path, tmp_path / "seen.h5")) as seen:
                np.testing.assert_array_equal(seen[spec.path][()], values[: start + 9])
        scan.finish(plan_of(path, spec))
        file.close()
    with h5py.File(path) as opened:
        dataset = opened[spec.path]
        assert dataset.fletcher32
        np.testing.assert_array_equal(dataset[()], values)
        chunks = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
    assert {chunk.filter_mask for chunk in chunks} == {0}
    damaged = bytearray(path.read_bytes())
    damaged[chunks[1].byte_offset + 5] ^= 0x10
    path.write_bytes(damaged)
    with h5py.File(path) as opened, pytest.raises(OSError, match=r"[Cc]an't"):
        opened[spec.path][()]


def test_lengths_of_ragged_points_have_checksums_too(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    spec = checked(stream("c", "<f8", (None,), (8, 16)))
    points = RaggedPoints(tuple(np.arange(n, dtype="<f8") for n in (3, 5, 1)))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.append("c", 0, points)
    scan.finish(plan_of(path, spec))
    file.close()
    with h5py.File(path) as opened:
        assert opened[f"{spec.path}_lengths"].fletcher32
        assert opened[f"{spec.path}_lengths"][()].tolist() == [3, 5, 1]


def points(first: int, stop: int) -> FixedPoints:
    return FixedPoints(np.arange(first, stop, dtype="<f8"))


def resumed(path: Path, plan: FilePlan) -> tuple[TargetFile, ScanInFile]:
    file = TargetFile.open(path)
    return file, file.resume(plan, {"c": 21})


@pytest.mark.parametrize("at_first", [True, False])
def test_a_scan_that_was_interrupted_goes_on_as_it_began(at_first: bool, tmp_path: Path) -> None:
    path, plain = tmp_path / "x.h5", stream("c", "<f8", (), (16,))
    before, after = (checked(plain), plain) if at_first else (plain, checked(plain))
    file = TargetFile.open(path)
    file.begin(plan_of(path, before)).append("c", 0, points(0, 25))
    file.close()
    file, scan = resumed(path, plan_of(path, after))
    scan.append("c", 21, points(21, 50))
    scan.finish(plan_of(path, after))
    file.close()
    with h5py.File(path) as opened:
        assert opened[plain.path].fletcher32 is at_first
        assert opened[plain.path][()].tolist() == list(range(50))
