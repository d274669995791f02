"""What points look like never decides how much memory it takes to write them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.sink_plans import plan_of, stream

from tango_saver.errors import DatasetError
from tango_saver.model.records import RaggedPoints
from tango_saver.sink import streams
from tango_saver.sink.file import TargetFile

SPEC = stream("c", "<f8", (None, None), (8, 64, 64))


def points(*shapes: tuple[int, int]) -> RaggedPoints:
    return RaggedPoints(tuple(np.full(shape, index + 1.0) for index, shape in enumerate(shapes)))


def test_wide_and_tall_points_are_never_padded_to_each_other_in_memory(tmp_path: Path) -> None:
    side = 12_000  # 2.3 GB if they were
    path = tmp_path / "x.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, SPEC))
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="too large"):
            scan.append("c", 0, points((1, side), (side, 1)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 600 << 20
    file.close()


def test_points_that_are_written_one_by_one_are_as_those_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LARGEST_PADDED", 1 << 20)
    shapes = [(1, 300), (300, 1), (3, 3), (1, 300), (2, 5), (70, 2)]  # 4 MB together
    path = tmp_path / "x.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, SPEC))
    scan.append("c", 0, points(*shapes))
    scan.finish(plan_of(path, SPEC))
    file.close()
    with h5py.File(path) as opened:
        assert opened[f"{SPEC.path}_lengths"][()].tolist() == [list(shape) for shape in shapes]
        for row, shape in enumerate(shapes):
            found = opened[SPEC.path][row]
            window = tuple(slice(0, extent) for extent in shape)
            assert (found[window] == row + 1).all()
            assert np.isnan(found).sum() == found.size - shape[0] * shape[1]
