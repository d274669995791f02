"""Images that detectors save themselves, by reference in the file of their scan."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from cameras import CHANNEL, DATASET, Camera, start_camera, start_lima2
from file.compare import compare, extras
from file.intended_differences import is_added
from masters import master_file, receiver_file
from PyMca5.PyMcaIO.EdfFile import EdfFile
from saving import RunningSaver, StartSaver, worker_of

from tango_saver.demo.publisher import replay
from tango_saver.engine import frames
from tango_saver.model.report import ChannelReport, SavingState, ScanReport

FILES = Path(__file__).parent.parent / "file"
IMAGE = "/12.1/instrument/simcam/image"
WITH_IMAGES = ("lima_hdf5", "lima_edf", "lima_unsaved", "lima_short", "lima2_hdf5")
PATIENCE_S = 30.0


def files_of(recording: str) -> Path | None:
    folder = FILES / "files" / recording
    return folder if folder.exists() else None


def golden_with_images(recording: str, folder: Path) -> Path:
    """The golden file beside the images that it shows."""
    images = files_of(recording)
    if images is not None:
        shutil.copytree(images, folder)
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(FILES / "golden" / f"{recording}.h5", folder / "data.h5"))


@pytest.fixture
def camera(recordings: Path, redis_url: str, tmp_path: Path) -> Callable[..., Camera]:
    """Starts scans with a camera."""

    def start(**options: Any) -> Camera:
        return start_camera(recordings, redis_url, tmp_path / "data", **options)

    return start


def shown(target: Path, dataset: str = IMAGE) -> list[int] | None:
    """Number of each frame by its pixels, None while there are none or the file is busy."""
    try:
        with h5py.File(target, "r", locking=False) as file:
            if dataset not in file:
                return None
            values = file[dataset][()]
    except (OSError, KeyError, RuntimeError):
        return None
    pixels = values.reshape(len(values), -1)
    assert (pixels == pixels[:, :1]).all()
    return [int(number) for number in pixels[:, 0]]


def wait_until_shown(target: Path, numbers: list[int], dataset: str = IMAGE) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while shown(target, dataset) != numbers:
        if time.monotonic() > deadline:
            pytest.fail(f"{shown(target, dataset)} is shown, not {numbers}")
        time.sleep(0.02)


def report_of(saver: RunningSaver, camera: Camera) -> ScanReport:
    (report,) = saver.reports([camera.key])
    return report


def of_camera(report: ScanReport) -> ChannelReport:
    (channel,) = [channel for channel in report.channels if channel.name == CHANNEL]
    return channel


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
@pytest.mark.parametrize("recording", WITH_IMAGES)
def test_recorded_images_are_shown_as_in_the_golden_file(
    recording: str,
    speed: float,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    saver = start_saver()
    keys = replay(
        recordings / f"{recording}.json.gz",
        redis_url,
        tmp_path / "ours",
        speed=speed,
        images=files_of(recording),
    )
    (report,) = saver.reports(keys)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert [c for c in report.channels if not c.published == c.received == c.on_disk] == []
    golden = golden_with_images(recording, tmp_path / "golden")
    ours = tmp_path / "ours" / "data.h5"
    assert compare(golden, ours, recording) == []
    assert [path for path in extras(golden, ours) if not is_added(recording, path)] == []


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
def test_lima2_of_protocol_2_is_shown_through_its_master_file(
    speed: float, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    keys = replay(
        recordings / "lima2_v2.json.gz",
        redis_url,
        tmp_path,
        speed=speed,
        writer="nexus",
        images=files_of("lima2_v2"),
    )
    (report,) = saver.reports(keys)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    with h5py.File(tmp_path / "data.h5") as file:
        images = file["1.1/measurement/cam1"], file["1.1/measurement/cam2"]
        assert [dataset.shape for dataset in images] == [(25, 16, 12), (25, 1, 16, 12)]
        for dataset in images:
            for number, frame in enumerate(dataset[()]):
                assert (frame == number).all()


LIMA2 = "/1.1/instrument/cam2/frame"
LIMA2_FRAME = (1, 16, 12)


@pytest.fixture
def lima2(recordings: Path, redis_url: str, tmp_path: Path) -> Callable[[], Camera]:
    """Starts a scan with a camera of Lima2 that has two receivers, three frames in a file."""

    def start() -> Camera:
        return start_lima2(recordings, redis_url, tmp_path / "data", files_of("lima2_v2"))

    return start


def lima2_master(camera: Camera) -> Path:
    return camera.root / "scan0001" / "cam2_master.h5"


def make_master(camera: Camera) -> None:
    master_file(lima2_master(camera), 12, 2, 3, LIMA2_FRAME)


def receive(camera: Camera, receiver: int, number: int) -> None:
    receiver_file(lima2_master(camera), receiver, number, 2, 3, LIMA2_FRAME)


def test_lima2_frames_appear_while_the_scan_runs_as_far_as_their_files_are_there(
    lima2: Callable[[], Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = lima2()
    make_master(running)
    receive(running, 0, 0)
    receive(running, 1, 0)
    running.say_in_all(4)
    wait_until_shown(running.target, [0, 1, 2, 3], LIMA2)
    running.say_in_all(9)
    wait_until_shown(running.target, [*range(6)], LIMA2)
    receive(running, 1, 1)
    receive(running, 0, 1)
    wait_until_shown(running.target, [*range(9)], LIMA2)
    running.say_in_all(12)
    wait_until_shown(running.target, [*range(12)], LIMA2)
    running.close()
    report = report_of(saver, running)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert ChannelReport("cam2:frame", 12, 12, 12) in report.channels
    assert shown(running.target, LIMA2) == [*range(12)]


def test_a_lima2_master_that_is_written_at_the_end_is_waited_for(
    lima2: Callable[[], Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = lima2()
    lima2_master(running).unlink()
    for receiver, number in ((0, 0), (1, 0), (0, 1), (1, 1)):
        receive(running, receiver, number)
    running.say_in_all(12)
    time.sleep(2)
    assert shown(running.target, LIMA2) is None
    running.close()
    make_master(running)
    report = report_of(saver, running)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert shown(running.target, LIMA2) == [*range(12)]


def test_lima2_frames_whose_file_is_missing_are_told_and_never_zero(
    lima2: Callable[[], Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = lima2()
    make_master(running)
    for receiver, number in ((0, 0), (1, 0), (0, 1)):
        receive(running, receiver, number)
    running.say_in_all(12)
    running.close()
    report = report_of(saver, running)
    assert ChannelReport("cam2:frame", 12, 12, 7) in report.channels
    (sentence,) = report.warnings
    assert sentence.startswith("channel cam2:frame: frames 7 to 11 are missing: ")
    assert "shows frames of cam2_1_00001.h5, which does not exist" in sentence
    assert shown(running.target, LIMA2) == [*range(7), *[65535] * 5]


@pytest.mark.parametrize("recording", ["lima_hdf5", "lima_edf", "lima2_hdf5", "lima2_v2"])
def test_everything_is_readable_after_the_whole_folder_was_moved(
    recording: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    here = tmp_path / "here"
    source = recordings / f"{recording}.json.gz"
    images = files_of(recording)
    saver.reports(replay(source, redis_url, here, speed=0, writer="nexus", images=images))
    before = dict(every_dataset(here / "data.h5"))
    there = Path(shutil.move(here, tmp_path / "there"))
    after = dict(every_dataset(there / "data.h5"))
    assert before.keys() == after.keys()
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)
    for path, value in after.items():
        if recording == "lima_edf" and path.endswith("/simcam/image"):
            names = [text.decode().split("::")[0] for text in value]
            assert all((there / name).is_file() for name in names)


def test_frames_of_edf_files_are_shown_as_pixels_where_that_is_asked_for(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(edf_pixels=True)
    images = files_of("lima_edf")
    assert images is not None
    source = recordings / "lima_edf.json.gz"
    (report,) = saver.reports(replay(source, redis_url, tmp_path / "data", images=images))
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    frames = [
        opened.GetData(index)
        for file in sorted(images.rglob("*.edf"))
        for opened in [EdfFile(str(file), "rb")]
        for index in range(opened.GetNumImages())
    ]
    target = tmp_path / "data" / "data.h5"
    with h5py.File(target) as file:
        for path in ("instrument/simcam/image_pixels", "measurement/simcam_pixels"):
            np.testing.assert_array_equal(file[f"13.1/{path}"][()], frames)
        assert len(file["13.1/measurement/simcam"]) == len(frames)
    golden = golden_with_images("lima_edf", tmp_path / "golden")
    assert compare(golden, target, "lima_edf") == []
    new = [path for path in extras(golden, target) if not is_added("lima_edf", path)]
    assert new == ["/13.1/instrument/simcam/image_pixels", "/13.1/measurement/simcam_pixels"]


def every_dataset(path: Path) -> Iterator[tuple[str, Any]]:
    with h5py.File(path) as file:
        found: list[str] = []
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in found:
            yield name, file[name][()]


def test_frames_are_shown_while_the_scan_runs_as_soon_as_their_file_is_complete(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    running.say(acquired=12, saved=11)
    wait_until_shown(running.target, list(range(10)))
    running.save(1, 10, 10)
    running.say(acquired=25, saved=21)
    wait_until_shown(running.target, list(range(20)))
    saver.wait_for(lambda status: status.running[0].points_saved == 20 + 3 * 25)
    (progress,) = saver.published[-1].running
    assert progress.state is SavingState.SAVING
    assert progress.points_expected == 4 * 25
    running.save(2, 20, 5)
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert of_camera(report) == ChannelReport(CHANNEL, 25, 25, 25)
    assert shown(running.target) == list(range(25))
    assert shown(running.target, "/12.1/measurement/simcam") == list(range(25))


def test_several_acquisitions_with_short_last_files_follow_each_other(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera(per_file=3, per_acquisition=7)
    first = 0
    for number, n_frames in enumerate([3, 3, 1, 3, 3, 1, 3, 1]):
        running.save(number, first, n_frames)
        first += n_frames
    running.say(acquired=18)
    running.close()
    report = report_of(saver, running)
    assert report.warnings == ()
    assert shown(running.target) == list(range(18))


def test_frames_that_the_detector_never_saved_are_not_counted(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    running.say(acquired=25, saved=10)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.SAVED
    assert of_camera(report) == ChannelReport(CHANNEL, published=25, received=10, on_disk=10)
    assert shown(running.target) == list(range(10))
    (sentence,) = report.warnings
    assert "25 frames were acquired, the detector saved 10 of them" in sentence
    assert sentence in text_beside(running.target)


def text_beside(target: Path) -> str:
    with h5py.File(target) as file:
        text: str = file["12.1/writer/description"].asstr()[()]
    return text


def wrong_rank(camera: Camera) -> None:
    camera.save(1, 10, 10, frame=(1, 16, 12))


def wrong_shape(camera: Camera) -> None:
    camera.save(1, 10, 10, frame=(12, 16))


def wrong_dtype(camera: Camera) -> None:
    camera.save(1, 10, 10, dtype="<i4")


def missing(camera: Camera) -> None:
    camera.file(1).unlink(missing_ok=True)


def truncated(camera: Camera) -> None:
    camera.save(1, 10, 10)
    whole = camera.file(1).read_bytes()
    camera.file(1).write_bytes(whole[: len(whole) // 2])


def no_dataset(camera: Camera) -> None:
    with h5py.File(camera.file(1), "w") as file:
        file["other"] = 1


def a_pipe(camera: Camera) -> None:
    os.mkfifo(camera.file(1))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (wrong_rank, "has frames of shape (1, 16, 12), published was (16, 12)"),
        (wrong_shape, "has frames of shape (12, 16), published was (16, 12)"),
        (wrong_dtype, "has frames of type int32, published was uint16"),
        (missing, "does not exist"),
        (truncated, "cannot be opened"),
        (no_dataset, f"has no dataset {DATASET}"),
        (a_pipe, "is not a file of images"),
    ],
)
def test_a_missing_or_wrong_file_is_told_and_costs_its_own_frames(
    spoil: Callable[[Camera], None],
    reason: str,
    camera: Callable[..., Camera],
    start_saver: StartSaver,
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    spoil(running)
    running.save(2, 20, 5)
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.SAVED
    assert of_camera(report) == ChannelReport(CHANNEL, published=25, received=25, on_disk=15)
    (sentence,) = report.warnings
    assert sentence.startswith(f"channel {CHANNEL}: frames 10 to 19 are missing: ")
    assert str(running.file(1)) in sentence
    assert reason in sentence
    assert sentence in text_beside(running.target)
    assert shown(running.target) == [*range(10), *[65535] * 10, *range(20, 25)]
    with h5py.File(running.target) as file:
        assert file[f"{IMAGE}_missing"][()].tolist() == [[10, 20]]


def test_a_file_with_too_few_frames_gives_those_it_has(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 4)
    running.save(1, 10, 10)
    running.save(2, 20, 5)
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert of_camera(report).on_disk == 19
    assert "frames 4 to 9 are missing" in report.warnings[0]
    assert "has 4 frames only" in report.warnings[0]
    assert shown(running.target) == [*range(4), *[65535] * 6, *range(10, 25)]


def test_a_file_that_comes_late_is_waited_for(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    running.say(acquired=25)
    wait_until_shown(running.target, list(range(10)))
    running.save(2, 20, 5)
    running.save(1, 10, 10)
    wait_until_shown(running.target, list(range(20)))
    running.close()
    report = report_of(saver, running)
    assert report.warnings == ()
    assert shown(running.target) == list(range(25))


def test_a_detector_whose_files_are_nowhere_costs_its_images_and_nothing_else(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera(per_file=1)
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.SAVED
    assert of_camera(report).on_disk == 0
    assert len(report.warnings) == frames._NAMED + 1
    assert report.warnings[-1].endswith(f"so are those of {25 - frames._NAMED} more files")
    with h5py.File(running.target) as file:
        assert len(file["12.1/measurement/diode"]) == 25
        assert file[f"{IMAGE}_missing"][()].tolist() == [[0, 25]]


@pytest.mark.parametrize(
    "status", [None, 7, {}, {"last_index": "x", "last_index_saved": "y"}, {"last_index": 1}]
)
def test_a_status_that_makes_no_sense_costs_the_channel(
    status: Any, camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.publish(status)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.FAILED
    assert "its status" in of_camera(report).problem
    assert [c.name for c in report.channels if c.problem] == [CHANNEL]
    assert [c.on_disk for c in report.channels if c.name != CHANNEL] == [25, 25, 25]


def test_malformed_information_on_files_is_told_and_costs_the_images(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera(change=lambda info: info["lima_info"].update(file_path="/d/cam_%s.h5"))
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.SAVED
    (sentence,) = report.warnings
    assert "where its images are is not clear" in sentence
    assert sentence in text_beside(running.target)


def test_a_scan_that_is_ended_by_hand_shows_what_is_on_disk(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    running.save(1, 10, 4)
    running.say(acquired=14)
    wait_until_shown(running.target, list(range(10)))
    saver.conductor.stop_scan(running.key)
    report = report_of(saver, running)
    assert of_camera(report) == ChannelReport(CHANNEL, published=14, received=14, on_disk=14)
    assert shown(running.target) == list(range(14))


def test_frames_go_on_being_shown_after_the_worker_was_killed(
    camera: Callable[..., Camera], start_saver: StartSaver
) -> None:
    saver = start_saver()
    running = camera()
    running.save(0, 0, 10)
    running.say(acquired=12, saved=11)
    wait_until_shown(running.target, list(range(10)))
    worker = worker_of(running.target)
    worker.kill()
    psutil.wait_procs([worker], PATIENCE_S)
    running.save(1, 10, 10)
    running.say(acquired=25, saved=21)
    wait_until_shown(running.target, list(range(20)))
    running.save(2, 20, 5)
    running.say(acquired=25)
    running.close()
    report = report_of(saver, running)
    assert report.state is SavingState.SAVED
    assert of_camera(report) == ChannelReport(CHANNEL, 25, 25, 25)
    assert shown(running.target) == list(range(25))
