from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt
import pytest
from file.sink_plans import plan_of, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tango_saver.model.plan import Filter
from tango_saver.model.records import FixedPoints
from tango_saver.sink.encoding import encoded_chunk
from tango_saver.sink.file import TargetFile

FILTERS = {
    Filter.NONE: [],
    Filter.DEFLATE: [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE],
    Filter.GZIP: [h5py.h5z.FILTER_DEFLATE],
    Filter.SHUFFLE: [h5py.h5z.FILTER_SHUFFLE],
    Filter.BITSHUFFLE: [hdf5plugin.BSHUF_ID],
    Filter.BITSHUFFLE_LZ4: [hdf5plugin.BSHUF_ID],
}
ENCODING = [chosen for chosen in FILTERS if chosen is not Filter.NONE]


def filters_of(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def spectra(dtype: str) -> npt.NDArray[np.generic]:
    return np.random.default_rng(1).poisson(3, (70, 50)).astype(dtype)


@pytest.mark.parametrize("dtype", ["<u4", ">f8", "?", "<c16", "|u1", ">i2"])
@pytest.mark.parametrize("chosen", FILTERS, ids=lambda chosen: chosen.name)
def test_points_are_intact_at_every_flush_with_every_filter(
    chosen: Filter, dtype: str, tmp_path: Path
) -> None:
    path, values = tmp_path / "x.h5", spectra(dtype)
    spec = stream("c", dtype, (50,), (16, 32), chosen)
    with ThreadPoolExecutor(2) as executor:
        file = TargetFile.open(path, executor=executor)
        scan = file.begin(plan_of(path, spec))
        for start in range(0, 70, 9):
            scan.append("c", start, FixedPoints(values[start : start + 9]))
            file.flush()
            with h5py.File(shutil.copy(path, tmp_path / "seen.h5")) as seen:
                found = seen[spec.path][()]
            np.testing.assert_array_equal(found, values[: start + 9])
        scan.finish(plan_of(path, spec))
        file.close()
    with h5py.File(path) as opened:
        dataset = opened[spec.path]
        assert filters_of(dataset) == FILTERS[chosen]
        assert dataset.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(dataset[()], values)


@pytest.mark.parametrize("chosen", ENCODING, ids=lambda chosen: chosen.name)
def test_a_scan_goes_on_after_a_crash_with_every_filter(chosen: Filter, tmp_path: Path) -> None:
    path, values = tmp_path / "x.h5", spectra("<u4")
    spec = stream("c", "<u4", (50,), (16, 32), chosen)
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.append("c", 0, FixedPoints(values[:40]))
    file.close()
    file = TargetFile.open(path)
    scan = file.resume(plan_of(path, spec), {"c": 37})
    assert scan.lengths() == {"c": 37}
    scan.append("c", 37, FixedPoints(values[37:]))
    scan.finish(plan_of(path, spec))
    file.close()
    with h5py.File(path) as opened:
        np.testing.assert_array_equal(opened[spec.path][()], values)


@pytest.mark.parametrize("chosen", [Filter.GZIP, Filter.BITSHUFFLE_LZ4], ids=lambda f: f.name)
def test_a_filter_that_compresses_makes_the_file_smaller(chosen: Filter, tmp_path: Path) -> None:
    sizes = {}
    for used in (Filter.NONE, chosen):
        path = tmp_path / f"{used.name}.h5"
        spec = stream("c", "<u4", (50,), (70, 50), used)
        file = TargetFile.open(path)
        scan = file.begin(plan_of(path, spec))
        scan.append("c", 0, FixedPoints(spectra("<u4")))
        scan.finish(plan_of(path, spec))
        file.close()
        with h5py.File(path) as opened:
            sizes[used] = opened[spec.path].id.get_storage_size()
    assert sizes[chosen] < sizes[Filter.NONE] / 2


ARRAYS = st.sampled_from(["<u4", ">f8", "<i2", "|i1", "<c8"]).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), hnp.array_shapes(min_dims=1, max_dims=3, max_side=20))
)


@settings(max_examples=50, deadline=None)
@given(chosen=st.sampled_from(ENCODING), block=ARRAYS)
def test_hdf5_decodes_every_chunk_to_the_bytes_that_were_encoded(
    chosen: Filter, block: npt.NDArray[np.generic]
) -> None:
    options = {
        Filter.DEFLATE: {"compression": "gzip", "shuffle": True},
        Filter.GZIP: {"compression": "gzip"},
        Filter.SHUFFLE: {"shuffle": True},
        Filter.BITSHUFFLE: dict(hdf5plugin.Bitshuffle(cname="none")),
        Filter.BITSHUFFLE_LZ4: dict(hdf5plugin.Bitshuffle(cname="lz4")),
    }[chosen]
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("x", block.shape, block.dtype, chunks=block.shape, **options)
        dataset.id.write_direct_chunk((0,) * block.ndim, encoded_chunk(block, chosen))
        assert dataset[()].tobytes() == block.tobytes()
