"""Recorded scans, laid out and written by the sink, against the files of ESRF's writer."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file.compare import compare
from file.recorded import RecordedScan
from file.test_nexus_layout import GOLDEN, RECORDINGS, closing_plan, opening_plan, saved_scans

from tango_saver.model.plan import PointKind, StreamDataset
from tango_saver.model.records import FixedPoints, JsonPoints, Points, RaggedPoints
from tango_saver.sink.file import TargetFile

BATCH = 7


def batches(spec: StreamDataset, values: list[Any]) -> Iterator[Points]:
    """The points of a channel as a source delivers them."""
    for start in range(0, len(values), BATCH):
        batch = values[start : start + BATCH]
        if spec.kind is PointKind.TEXT:
            yield JsonPoints(tuple(batch))
        elif None in spec.shape:
            yield RaggedPoints(tuple(np.asarray(value, spec.dtype) for value in batch))
        else:
            block = np.empty((len(batch), *np.shape(batch[0])), spec.dtype)
            block[...] = batch
            yield FixedPoints(block)


def save(path: Path, scans: list[RecordedScan]) -> None:
    file = TargetFile.open(path)
    for recorded in scans:
        plan = opening_plan(recorded)
        scan = file.begin(plan)
        arriving = [
            (channel, batches(plan.streams[channel][0], values))
            for channel, values in recorded.points.items()
            if channel in plan.streams
        ]
        counts = dict.fromkeys(plan.streams, 0)
        rounds = itertools.zip_longest(*(points for _, points in arriving))
        for number, arrived in enumerate(rounds):
            for (channel, _), points in zip(arriving, arrived, strict=True):
                if points is not None:
                    scan.append(channel, counts[channel], points)
                    counts[channel] += len(points)
            if number % 3 == 0:
                file.flush()
        scan.finish(closing_plan(recorded))
        assert scan.failed_channels == {}
        assert scan.warnings == ()
    file.close()


@pytest.mark.parametrize("name", RECORDINGS)
def test_everything_of_the_golden_file_is_in_ours(
    name: str, recordings: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    save(ours, saved_scans(recordings, name))
    assert compare(next(GOLDEN.glob(f"{name}.h5*")), ours, name) == []


def test_a_file_of_many_small_scans_is_hardly_larger_than_the_golden_one(
    recordings: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    save(ours, saved_scans(recordings, "quick200"))
    golden = len(gzip.decompress((GOLDEN / "quick200.h5.gz").read_bytes()))
    # Ours has a default plot in every entry besides.
    assert ours.stat().st_size <= 1.05 * golden
