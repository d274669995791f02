"""The files of one scan are used as if they were one; only the scan's own can cost the scan."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.sink_plans import plan_of, stream

from tango_saver.engine.messages import SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.scan_files import ScanFiles
from tango_saver.errors import DatasetError
from tango_saver.model.plan import FilePlan
from tango_saver.model.records import FixedPoints
from tango_saver.model.settings import SaverSettings


@pytest.fixture
def closed() -> list[str]:
    """Paths of the files that were closed."""
    return []


@pytest.fixture
def targets(closed: list[str]) -> Iterator[OpenTargets]:
    with ThreadPoolExecutor(1) as executor:
        yield OpenTargets(SaverSettings(), executor, closed.append)


def points(*values: float) -> FixedPoints:
    return FixedPoints(np.array(values, float))


def files_of(own: Path, targets: OpenTargets) -> ScanFiles:
    order = SaveScan("key", "session", "scan", 1, str(own))
    return ScanFiles(order, SaverSettings(), targets)


def plan_with_others(own: Path, *others: FilePlan) -> FilePlan:
    return replace(plan_of(own, stream("a"), stream("b")), further=others)


def values(path: Path, channel: str) -> list[float]:
    with h5py.File(path) as file:
        return list(file[f"1.1/instrument/{channel}/data"][()])


def test_points_go_to_every_file_that_has_their_channel(
    targets: OpenTargets, closed: list[str], tmp_path: Path
) -> None:
    own, other = tmp_path / "own.h5", tmp_path / "other.h5"
    plan = plan_with_others(own, plan_of(other, stream("b"), stream("c")))
    files = files_of(own, targets)
    assert files.open(plan) == {"a": 0, "b": 0, "c": 0}
    files.append("a", 0, points(1, 2))
    files.append("b", 0, points(3))
    files.append("c", 0, points(4, 5, 6))
    files.fill_gap("b", 1, 3)
    assert files.lengths() == {"a": 2, "b": 3, "c": 3}
    assert files.bytes_appended == 8 * (2 + 1 + 3)
    files.finish_others(plan)
    files.finish(plan)
    files.release()
    assert (files.lost, files.failed_channels()) == ((), {})
    assert values(own, "a") == [1, 2]
    assert values(other, "c") == [4, 5, 6]
    for path in (own, other):
        assert values(path, "b")[0] == 3
        assert np.isnan(values(path, "b")[1:]).all()
    assert set(closed) == {str(own), str(other)}


def test_another_file_that_cannot_be_opened_is_lost_and_nothing_else(
    targets: OpenTargets, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.h5", tmp_path / "other.h5"
    other.write_text("no HDF5")
    plan = plan_with_others(own, plan_of(other, stream("b"), stream("c")))
    files = files_of(own, targets)
    files.open(plan)
    files.append("b", 0, points(3))
    files.finish_others(plan)
    files.finish(plan)
    files.release()
    (sentence,) = files.lost
    assert sentence.startswith(f"{other} is not (wholly) saved: ")
    assert other.read_text() == "no HDF5"
    assert values(own, "b") == [3]


def test_a_channel_that_one_file_refuses_stays_in_the_others(
    targets: OpenTargets, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.h5", tmp_path / "other.h5"
    narrow = stream("b", shape=(2,), chunk=(16, 2))
    plan = plan_with_others(own, plan_of(other, narrow, stream("c")))
    files = files_of(own, targets)
    files.open(plan)
    files.append("b", 0, points(3, 4))
    files.append("c", 0, points(5))
    files.finish_others(plan)
    files.finish(plan)
    files.release()
    (sentence,) = files.lost
    assert sentence.startswith(f"channel b is not (wholly) in {other}: ")
    assert values(own, "b") == [3, 4]
    assert values(other, "c") == [5]


def test_a_channel_that_its_only_file_refuses_is_an_error(
    targets: OpenTargets, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.h5", tmp_path / "other.h5"
    plan = plan_with_others(own, plan_of(other, stream("c", shape=(2,), chunk=(16, 2))))
    files = files_of(own, targets)
    files.open(plan)
    with pytest.raises(DatasetError):
        files.append("c", 0, points(1))
    files.release()


def test_two_names_of_one_file_are_not_written_as_two_files(
    targets: OpenTargets, tmp_path: Path
) -> None:
    own, alias = tmp_path / "own.h5", tmp_path / "alias.h5"
    alias.symlink_to(own)
    plan = plan_with_others(own, plan_of(alias, stream("c")))
    files = files_of(own, targets)
    files.open(plan)
    files.finish_others(plan)
    files.finish(plan)
    files.release()
    (sentence,) = files.lost
    assert "another name of a file" in sentence


def test_a_scan_goes_on_from_what_every_file_has(targets: OpenTargets, tmp_path: Path) -> None:
    own, other = tmp_path / "own.h5", tmp_path / "other.h5"
    plan = plan_with_others(own, plan_of(other, stream("b"), stream("c")))
    interrupted = files_of(own, targets)
    interrupted.open(plan)
    interrupted.append("a", 0, points(1, 2))
    interrupted.append("b", 0, points(3, 4))
    for path in (own, other):
        open_target = targets.find(path)
        assert open_target is not None
        open_target.flush()
    interrupted.append("c", 0, points(5))
    interrupted.release()
    files = files_of(own, targets)
    assert files.recall() == {"a": 2, "b": 2}
    lengths = dict(files.open(plan))
    files.append("c", lengths["c"], points(*[5, 6][lengths["c"] :]))
    files.append("b", 0, points(3, 4, 7))
    files.finish_others(plan)
    files.finish(plan)
    files.release()
    assert (lengths["a"], lengths["b"]) == (2, 2)
    assert values(own, "a") == [1, 2]
    assert values(own, "b") == values(other, "b") == [3, 4, 7]
    assert values(other, "c") == [5, 6]
