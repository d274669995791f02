"""A writer that died leaves a file that opens, and another one goes on from the journal."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np
import pytest
from file.reader_process import ReaderProcess
from file.sink_plans import plan_of, stream, text_stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tango_saver.model.plan import Filter, SoftLink, StreamDataset
from tango_saver.model.records import FixedPoints, JsonPoints, Points, RaggedPoints
from tango_saver.sink.file import TargetFile
from tango_saver.sink.journal import Journal

SPECS = (
    stream("scalar", "<f8", (), (64,)),
    stream("plain", ">i4", (), (64,), Filter.NONE),
    stream("mca", "<u4", (50,), (8, 20)),
    stream("ragged", "<f8", (None,), (8, 4)),
    text_stream("text"),
)
TESTS = Path(__file__).parent.parent


def points(channel: str, first: int, stop: int) -> Points:
    """Points of a channel, the same whoever makes them."""
    numbers = np.arange(first, stop)
    if channel == "text":
        return JsonPoints(tuple(f"point {number}" for number in numbers))
    if channel == "ragged":
        return RaggedPoints(tuple(np.full(number % 11, number, "<f8") for number in numbers))
    spec = next(spec for spec in SPECS if spec.channel == channel)
    assert spec.dtype is not None
    values = (numbers[:, None] * 3 + np.arange(int(np.prod(spec.shape)))) % 1000
    return FixedPoints(values.astype(spec.dtype).reshape(len(numbers), *spec.shape))


def assert_begins_right(path: Path, lengths: dict[str, int]) -> None:
    """The first points of every channel are what was appended."""
    with h5py.File(path, "r", locking=False) as file:
        for spec in SPECS:
            length = lengths.get(spec.channel, 0)
            if not length:
                continue
            found = file[spec.path][:length]
            expected = points(spec.channel, 0, length)
            if isinstance(expected, FixedPoints):
                np.testing.assert_array_equal(found, expected.values)
            elif isinstance(expected, JsonPoints):
                assert [text.decode() for text in found] == list(expected.values)
            else:
                extents = file[f"{spec.path}_lengths"][:length]
                assert len(found) == length
                for row, extent, value in zip(found, extents, expected.values, strict=True):
                    np.testing.assert_array_equal(row[:extent], value)
                    assert np.isnan(row[extent:]).all()


def finish_from(path: Path, confirmed: dict[str, int], total: int) -> dict[str, int]:
    """Resume, append the rest, finish; where it went on from."""
    file = TargetFile.open(path)
    scan = file.resume(plan_of(path, *SPECS), confirmed)
    start = dict(scan.lengths())
    assert_begins_right_elsewhere(path, start)
    for spec in SPECS:
        first = start.get(spec.channel, 0)
        middle = (first + total) // 2
        scan.append(spec.channel, first, points(spec.channel, first, middle))
        file.flush()
        scan.append(spec.channel, middle, points(spec.channel, middle, total))
    assert scan.failed_channels == {}
    scan.finish(plan_of(path, *SPECS))
    assert scan.warnings == ()
    file.close()
    return start


def assert_begins_right_elsewhere(path: Path, lengths: dict[str, int]) -> None:
    code = f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(TESTS)!r})
        from file.test_sink_resume import assert_begins_right
        assert_begins_right(Path({str(path)!r}), {lengths!r})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    appended=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    back=st.integers(0, 70),
    finished=st.booleans(),
)
def test_a_scan_is_cut_to_what_is_confirmed_and_goes_on(
    tmp_path: Path, appended: list[int], back: int, finished: bool
) -> None:
    path = tmp_path / f"{uuid4().hex}.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, *SPECS))
    length = 0
    for n_points in appended:
        for spec in SPECS:
            scan.append(spec.channel, length, points(spec.channel, length, length + n_points))
        length += n_points
        file.flush()
    if finished:
        scan.finish(plan_of(path, *SPECS))
    file.close()

    confirmed = {spec.channel: max(length - back, 0) for spec in SPECS}
    start = finish_from(path, confirmed, 150)
    assert start == {channel: n for channel, n in confirmed.items() if n}
    assert_begins_right(path, {spec.channel: 150 for spec in SPECS})
    with h5py.File(path) as opened:
        assert all(opened[spec.path].shape[0] == 150 for spec in SPECS)
        assert opened["/1.1/measurement/scalar"] == opened[SPECS[0].path]
        assert "end_time" in opened["1.1"]


def test_nothing_confirmed_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, *SPECS))
    scan.append("mca", 0, points("mca", 0, 30))
    file.close()
    file = TargetFile.open(path)
    scan = file.resume(plan_of(path, *SPECS), {})
    assert scan.lengths() == {}
    file.flush()
    file.close()
    with h5py.File(path) as opened:
        assert SPECS[2].path not in opened
    assert finish_from(path, {}, 20) == {}
    assert_begins_right(path, {spec.channel: 20 for spec in SPECS})


def test_more_confirmed_than_there_is_goes_on_from_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, *SPECS))
    scan.append("mca", 0, points("mca", 0, 30))
    file.close()
    assert finish_from(path, {"mca": 99, "scalar": 5}, 120) == {"mca": 30}
    assert_begins_right(path, {spec.channel: 120 for spec in SPECS})


def test_a_dataset_stored_otherwise_than_planned_costs_its_channel(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, stream("a"), stream("b")))
    for channel in "ab":
        scan.append(channel, 0, FixedPoints(np.arange(20.0)))
    file.close()
    file = TargetFile.open(path)
    changed: StreamDataset = stream("a", chunk=(10,))
    scan = file.resume(plan_of(path, changed, stream("b")), {"a": 20, "b": 20})
    assert list(scan.failed_channels) == ["a"]
    assert scan.lengths() == {"b": 20}
    file.close()


def test_values_and_companions_survive_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    link = SoftLink("/1.1/measurement/a", "/1.1/instrument/a/data")
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, stream("a")))
    scan.append("a", 0, FixedPoints(np.arange(20.0)))
    file.close()
    file = TargetFile.open(path)
    scan = file.resume(plan_of(path, stream("a")), {"a": 20})
    assert scan.warnings == ()
    file.close()
    with h5py.File(path) as opened:
        assert opened["1.1/title"].asstr()[()] == "a scan"
        assert opened.get(link.path, getlink=True).path == link.target


WRITER = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from file.sink_plans import plan_of
    from file.test_sink_resume import SPECS, points
    from tango_saver.sink.file import TargetFile
    from tango_saver.sink.journal import Journal

    path = Path({path!r})
    file = TargetFile.open(path, executor=ThreadPoolExecutor(2))
    plan = plan_of(path, *SPECS)
    journal = Journal.create(path, "key", plan.entries)
    scan = file.begin(plan)
    length = 0
    while True:
        for step in (1, 7, 3, 30):
            for spec in SPECS:
                scan.append(spec.channel, length, points(spec.channel, length, length + step))
            length += step
        file.flush()
        journal.confirm(scan.confirmed())
        print(length, flush=True)
"""


@pytest.mark.parametrize("attempt", range(5))
def test_a_killed_writer_loses_nothing_that_was_confirmed(tmp_path: Path, attempt: int) -> None:
    path = tmp_path / "scan.h5"
    code = textwrap.dedent(WRITER.format(tests=str(TESTS), path=str(path)))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(3 + attempt * 2):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    (found,) = Journal.find(path)
    confirmed = dict(Journal.load(found).confirmed)
    assert min(confirmed.values()) > 0
    assert_begins_right(path, confirmed)
    total = max(confirmed.values()) + 77
    assert finish_from(path, confirmed, total) == confirmed
    assert_begins_right(path, {spec.channel: total for spec in SPECS})


def test_a_reader_sees_points_and_never_garbage_while_they_are_written(
    tmp_path: Path, reader: ReaderProcess
) -> None:
    path = tmp_path / "scan.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, *SPECS))
    length = 0
    for step in (1, 2, 5, 60, 3, 64, 1, 1, 90, 7):
        for spec in SPECS:
            scan.append(spec.channel, length, points(spec.channel, length, length + step))
            seen = reader.read(path, spec.path)[0]
            # Before the flush a reader sees the points of the last one.
            assert (0 if seen is None else len(seen)) in {length, length + step}
        length += step
        file.flush()
        (scalar, mca, texts) = reader.read(path, *(SPECS[i].path for i in (0, 2, 4)))
        for channel, values in (("scalar", scalar), ("mca", mca)):
            expected = points(channel, 0, length)
            assert isinstance(expected, FixedPoints)
            np.testing.assert_array_equal(values, expected.values)
        assert len(texts) == length
    file.close()
