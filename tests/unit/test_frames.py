"""When files of a detector are looked at, waited for and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tango_saver.engine import frames
from tango_saver.engine.frames import Frames
from tango_saver.errors import DatasetError
from tango_saver.layout import Moment, plan_scan
from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.model.report import ChannelReport
from tango_saver.model.scan import ChannelKind, ChannelSpec, ScanDescription, ScanKey, ScanState
from tango_saver.sink.sources import Source

ABSENT = Source(0, "does not exist", may_pass=True, absent=True)
WRONG = Source(0, "has frames of another shape")
LIMA = {
    "file_path": "/data/cam_%04d.h5", "data_path": "/entry/data", "file_format": "hdf5",
    "frame_per_file": 10, "frame_per_acquisition": 0,
}  # fmt: skip
CAMERA = ChannelSpec(
    "cam:image", "s", ChannelKind.IMAGE_REFERENCE, None, None,
    info={"plugin": "lima", "dtype": "uint16", "shape": [4, 3], "lima_info": LIMA},
)  # fmt: skip
SCAN = ScanDescription(
    key=ScanKey("esrf:scan:X"), session="s", name="loopscan", number=1, state=ScanState.STARTED,
    saved=True, writer="nexus", target="/data/data.h5", state_stream="t",
    channels={CAMERA.name: CAMERA},
)  # fmt: skip


class Disk:
    """Stands for the files of a scan: what is on the disk is what the test says."""

    def __init__(self) -> None:
        self.found: dict[int, Source] = {}
        """Number of a file -> what there is to be found; whole if it is not in here."""
        self.looked_at: list[int] = []
        self.shown: list[tuple[list[FrameRun], int, list[tuple[int, int]]]] = []
        self.error: DatasetError | None = None

    def look_at(self, run: FrameRun, _: ReferenceDataset) -> Source:
        """What is there of a file."""
        number = int(run.file[-7:-3])
        self.looked_at.append(number)
        return self.found.get(number, Source(run.n_frames))

    def show_frames(
        self, channel: str, runs: Sequence[FrameRun], n: int, missing: Sequence[tuple[int, int]]
    ) -> None:
        """Keep what is shown."""
        assert channel == CAMERA.name
        if self.error is not None:
            raise self.error
        self.shown.append((list(runs), n, list(missing)))


@pytest.fixture
def disk() -> Disk:
    """The files of a scan."""
    return Disk()


@pytest.fixture
def followed(disk: Disk) -> Frames:
    """The frames of a scan with one camera."""
    made = Frames("esrf:scan:X", disk)  # type: ignore[arg-type]
    made.expect(SCAN, plan_scan("nexus", SCAN, Moment("RUNNING", "now")))
    assert CAMERA.name in made
    return made


def say(followed: Frames, acquired: int, saved: int | None = None) -> None:
    saved = acquired if saved is None else saved
    followed.take(CAMERA.name, {"last_index": acquired - 1, "last_index_saved": saved - 1})


def test_a_file_is_looked_at_once_and_not_before_it_is_complete(
    disk: Disk, followed: Frames
) -> None:
    for saved in range(36):
        say(followed, saved)
        followed.go_on()
    assert disk.looked_at == [0, 1, 2]
    followed.end(CAMERA.name)
    followed.go_on()
    assert disk.looked_at == [0, 1, 2, 3]


def test_a_status_that_comes_late_takes_nothing_back(followed: Frames) -> None:
    say(followed, 35)
    say(followed, 12)
    followed.finish()
    assert followed.reports() == (ChannelReport(CAMERA.name, 35, 35, 35),)


def test_a_dataset_is_made_anew_seldom_while_the_scan_runs_and_once_at_the_end(
    disk: Disk, followed: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_SHOW_EVERY_S", 3600.0)
    for saved in range(100):
        say(followed, saved)
        followed.go_on()
    assert [n_frames for _, n_frames, _ in disk.shown] == [10]
    followed.finish()
    assert [n_frames for _, n_frames, _ in disk.shown] == [10, 99]


def test_a_file_that_is_late_holds_back_those_behind_it(disk: Disk, followed: Frames) -> None:
    disk.found[1] = ABSENT
    say(followed, 45)
    followed.go_on()
    assert disk.shown[-1][1:] == (10, [])
    del disk.found[1]
    followed.finish()
    assert disk.shown[-1][1:] == (45, [])
    assert followed.warnings() == ()


def test_a_file_that_does_not_come_is_given_up_and_later_ones_are_shown(
    disk: Disk, followed: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_PATIENCE_S", 0.0)
    disk.found[1] = ABSENT
    say(followed, 45)
    followed.go_on()
    assert disk.shown[-1][1:] == (40, [(10, 20)])
    assert "/data/cam_0001.h5 does not exist" in followed.warnings()[0]


def test_a_file_that_was_given_up_is_looked_at_once_more_at_the_end(
    disk: Disk, followed: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_PATIENCE_S", 0.0)
    disk.found[1] = ABSENT
    say(followed, 45)
    followed.go_on()
    del disk.found[1]
    followed.finish()
    assert disk.shown[-1][1:] == (45, [])
    assert followed.warnings() == ()


def test_a_wrong_file_is_no_source_and_an_absent_one_may_become_one(
    disk: Disk, followed: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "_LAST_PATIENCE_S", 0.0)
    disk.found = {1: WRONG, 2: ABSENT, 3: Source(4, "has 4 frames only", may_pass=True)}
    say(followed, 50)
    followed.finish()
    runs, n_frames, missing = disk.shown[-1]
    assert [(run.first_point, run.n_frames) for run in runs] == [
        (0, 10), (20, 10), (30, 4), (40, 10)
    ]  # fmt: skip
    assert (n_frames, missing) == (50, [(10, 30), (34, 40)])
    assert followed.reports() == (ChannelReport(CAMERA.name, 50, 50, 24),)
    assert [text.split(": ")[1] for text in followed.warnings()] == [
        "frames 10 to 19 are missing", "frames 20 to 29 are missing", "frames 34 to 39 are missing"
    ]  # fmt: skip


def test_frames_that_were_acquired_and_not_saved_are_told_once_the_scan_is_over(
    followed: Frames,
) -> None:
    say(followed, 45, saved=40)
    followed.go_on()
    assert followed.warnings() == ()
    followed.finish()
    assert "45 frames were acquired, the detector saved 40 of them" in followed.warnings()[0]


@pytest.mark.parametrize("status", [None, {"last_index_saved": "many"}, 10**12])
def test_a_status_that_makes_no_sense_ends_the_channel(
    status: Any, disk: Disk, followed: Frames
) -> None:
    followed.take(CAMERA.name, status)
    say(followed, 45)
    followed.finish()
    assert disk.looked_at == []
    assert followed.reports()[0].problem == followed.problems()[CAMERA.name] != ""


def test_a_dataset_that_cannot_be_made_ends_the_channel(disk: Disk, followed: Frames) -> None:
    disk.error = DatasetError("HDF5 refuses", channel=CAMERA.name)
    say(followed, 45)
    followed.go_on()
    followed.go_on()
    followed.finish()
    assert followed.problems() == {CAMERA.name: "HDF5 refuses"}
    assert disk.looked_at == [0, 1, 2, 3]


def test_a_status_of_a_channel_that_is_not_shown_is_nothing(disk: Disk, followed: Frames) -> None:
    followed.take("other:image", {"last_index": 9, "last_index_saved": 9})
    followed.finish()
    assert disk.shown == []
    assert np.sum([report.published for report in followed.reports()]) == 0


MASTER = ChannelSpec(
    CAMERA.name, "s", ChannelKind.IMAGE_REFERENCE, None, None,
    info={
        "plugin": "lima2", "protocol_version": 2, "dtype": "uint16", "shape": [4, 3],
        "master_file": ["/data/cam_0000.h5", "/entry/data"],
    },
)  # fmt: skip


@pytest.fixture
def master(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Frames:
    """The frames of a scan whose camera has a master file; it is looked at every time."""
    for name in ("_PATIENCE_S", "_RETRY_S", "_SHOW_EVERY_S", "_SHOW_SHARE", "_LAST_PATIENCE_S"):
        monkeypatch.setattr(frames, name, 0.0)
    made = Frames("esrf:scan:X", disk)  # type: ignore[arg-type]
    scan = replace(SCAN, channels={MASTER.name: MASTER})
    made.expect(scan, plan_scan("nexus", scan, Moment("RUNNING", "now")))
    return made


def test_frames_of_a_master_file_are_one_run_that_grows(disk: Disk, master: Frames) -> None:
    for saved in (4, 9):
        master.take(MASTER.name, saved)
        master.go_on()
    disk.found[0] = Source(2, "shows frames of b.h5, which does not exist", may_pass=True)
    master.take(MASTER.name, 15)
    master.go_on()
    assert disk.shown == [
        ([FrameRun("/data/cam_0000.h5", 0, n_frames, 0)], n_frames, []) for n_frames in (4, 9, 11)
    ]
    assert master.warnings() == ()
    disk.found[0] = Source(2, "has too few frames")
    master.finish()
    assert "frames 13 to 14 are missing" in master.warnings()[0]
    assert disk.shown[-1] == ([FrameRun("/data/cam_0000.h5", 0, 13, 0)], 15, [(13, 15)])


@pytest.mark.parametrize("found", [ABSENT, WRONG])
def test_a_master_file_is_not_given_up_before_the_scan_is_over(
    found: Source, disk: Disk, master: Frames
) -> None:
    disk.found[0] = found
    for saved in (4, 9):
        master.take(MASTER.name, saved)
        master.go_on()
    assert disk.shown == []
    assert master.warnings() == ()
    del disk.found[0]
    master.finish()
    assert disk.shown == [([FrameRun("/data/cam_0000.h5", 0, 9, 0)], 9, [])]
