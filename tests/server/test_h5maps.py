"""Scans whose files the session itself describes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from blissdata.h5api import dynamic_hdf5
from file.compare import compare
from publishing import Publishing, changed_recording, each_document
from saving import StartSaver, kill_holder

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState, ScanReport
from tango_saver.model.scan import ScanState

FILES = Path(__file__).parent.parent / "file"
OWN = "@ROOT@/data.h5"
SPECTRUM = {"type": "stream", "stream": "mca:spectrum"}
SPECTRA = np.arange(25)[:, None] * np.arange(64)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The folder of the data file, with the detector's files in it."""
    return Path(shutil.copytree(FILES / "files" / "h5maps", tmp_path / "data"))


@pytest.fixture
def save(
    recordings: Path, redis_url: str, start_saver: StartSaver, images: Path, tmp_path: Path
) -> Callable[..., ScanReport]:
    """Saves the recorded scan after a change of its document before it starts and at its end."""

    def saved(
        begin: Callable[[dict[str, Any]], None],
        end: Callable[[dict[str, Any]], None] | None = None,
        **settings: Any,
    ) -> ScanReport:
        def change(scan: dict[str, Any]) -> None:
            for recorded in scan["docs"]:
                maps = recorded["doc"]["info"].get("h5maps")
                if maps and recorded["state"] == ScanState.CLOSED:
                    (end or begin)(maps)
                elif maps:
                    begin(maps)

        source = changed_recording(recordings / "h5maps.json.gz", tmp_path, change)
        saver = start_saver(layout="h5map", **settings)
        publishing = Publishing(source, redis_url, images, speed=0, hold=True)
        saver.wait_for(lambda status: status.running and status.running[0].points_saved >= 50)
        (report,) = saver.reports(publishing.finish())
        return report

    return saved


def nothing(maps: dict[str, Any]) -> None:
    del maps


def entry(maps: dict[str, Any]) -> dict[str, Any]:
    children: dict[str, Any] = maps[OWN]["children"]["1.1"]["children"]
    return children


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
def test_a_map_of_every_item_becomes_the_files_that_it_describes(
    speed: float,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    golden = Path(shutil.copytree(FILES / "files" / "h5maps", tmp_path / "golden"))
    for name in ("h5maps", "h5maps-late"):
        shutil.copy(FILES / "golden" / f"{name}.h5", golden)
    # The external binary of the golden file is found from there only.
    monkeypatch.chdir(golden)
    saver = start_saver(layout="auto")
    (report,) = saver.reports(replay(recordings / "h5maps.json.gz", redis_url, images, speed=speed))
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert {channel.on_disk for channel in report.channels} == {25}
    assert compare(golden / "h5maps.h5", images / "data.h5", "h5maps") == []
    assert compare(golden / "h5maps-late.h5", images / "late.h5", "h5maps") == []
    assert sorted(path.name for path in images.iterdir()) == ["data.h5", "late.h5", "scan0001"]
    with h5py.File(images / "data.h5") as file:
        assert file["1.1/end_time"][()] == b"2026-11-24T17:06:22.576513+00:00"
        assert file["1.1/writer/status"][()] == b"SUCCEEDED"
        assert file["1.1/writer"].attrs["NX_class"] == "NXnote"
        assert "file_update_time" in file.attrs
        np.testing.assert_array_equal(file["1.1/items/vds"][:, 3, 5], np.arange(20))
        np.testing.assert_array_equal(file["1.1/instrument/cam1/image"][:, 3, 5], np.arange(25))


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
def test_mapped_scans_of_real_bliss_become_the_file_that_its_writer_made(
    speed: float, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(layout="auto")
    keys = replay(recordings / "bliss24_mapping.json.gz", redis_url, tmp_path, speed=speed)
    reports = saver.reports(keys)
    assert [report.state for report in reports] == [SavingState.SAVED] * 2
    assert [report.warnings for report in reports] == [()] * 2
    golden = FILES / "golden" / "bliss24_mapping.h5"
    assert compare(golden, tmp_path / "data.h5", "bliss24_mapping") == []


def test_links_and_virtual_datasets_survive_when_the_folder_is_moved(
    save: Callable[..., ScanReport], images: Path, tmp_path: Path
) -> None:
    save(nothing)
    moved = tmp_path / "elsewhere" / "deeper"
    moved.parent.mkdir()
    images.rename(moved)
    with h5py.File(moved / "late.h5") as file:
        np.testing.assert_array_equal(file["1.1/items/vds"][:, 3, 5], np.arange(20))
        np.testing.assert_array_equal(file["1.1/instrument/cam1/image"][:, 3, 5], np.arange(25))
        np.testing.assert_array_equal(file["1.1/items/ext"][:, 3, 5], np.arange(10))


def test_the_scan_is_finished_for_readers_only_when_all_is_saved(
    recordings: Path, redis_url: str, start_saver: StartSaver, images: Path, tmp_path: Path
) -> None:
    def end_early(document: dict[str, Any]) -> None:
        if "h5maps" in document["info"]:
            entry(document["info"]["h5maps"])["end_time"] = "2026-11-24T00:00:00+00:00"

    source = changed_recording(
        recordings / "h5maps.json.gz", tmp_path, lambda scan: each_document(scan, end_early)
    )
    saver = start_saver(layout="h5map")
    publishing = Publishing(source, redis_url, images, speed=0, hold=True)
    publishing.wait_for(ScanState.STARTED)
    saver.wait_for(lambda status: status.running and status.running[0].points_saved >= 75)
    with dynamic_hdf5.File(str(images / "data.h5"), retry_timeout=5) as file:
        assert len(file["1.1/instrument/mca/data"]) == 25
        assert file["1.1/writer/status"][()] == b"RUNNING"
        with pytest.raises(KeyError):
            file["1.1/end_time"]
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    with dynamic_hdf5.File(str(images / "data.h5"), retry_timeout=5) as file:
        assert file["1.1/end_time"][()] == b"2026-11-24T00:00:00+00:00"
        assert file["1.1/writer/status"][()] == b"SUCCEEDED"


def test_the_second_map_adds_alters_and_removes(
    save: Callable[..., ScanReport], images: Path
) -> None:
    def begin(maps: dict[str, Any]) -> None:
        items = entry(maps)["items"]["children"]
        items["gone"] = {"type": "group", "children": {"inside": 1, "deeper": {"type": "group"}}}
        items["becomes_a_group"] = 5
        items["becomes_a_value"] = {"type": "group", "children": {"inside": 1}}
        entry(maps)["items"]["attributes"]["gone"] = 1

    def end(maps: dict[str, Any]) -> None:
        items = entry(maps)["items"]["children"]
        items["becomes_a_group"] = {"type": "group", "children": {"inside": [1, 2]}}
        items["becomes_a_value"] = "text"
        items["added"] = 9
        items["twice"] = {"type": "dataset", "value": SPECTRUM, "attributes": {"units": "#"}}
        items["soft"] = {"type": "soft_link", "target_path": "raw_float"}

    report = save(begin, end)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    with h5py.File(images / "data.h5") as file:
        items = file["1.1/items"]
        assert "gone" not in items
        assert "raw_int" not in items
        assert items["becomes_a_group/inside"][()].tolist() == [1, 2]
        assert items["becomes_a_value"][()] == b"text"
        assert items["added"][()] == 9
        assert items["soft"][()] == 1.5
        assert items["twice"].attrs["units"] == "#"
        assert dict(items.attrs).keys() == {"NX_class", "answer", "ratio", "flag", "names"}


def test_points_stay_when_the_second_map_lacks_their_dataset(
    save: Callable[..., ScanReport], images: Path
) -> None:
    report = save(nothing, lambda maps: entry(maps)["items"]["children"].pop("twice"))
    assert report.state is SavingState.SAVED
    assert "the points of channel mca:spectrum stay there" in report.warnings[-1]
    with h5py.File(images / "data.h5") as file:
        np.testing.assert_array_equal(file["1.1/items/twice"], SPECTRA)


def test_datasets_of_channels_that_come_late_are_complete(
    save: Callable[..., ScanReport], images: Path
) -> None:
    def begin(maps: dict[str, Any]) -> None:
        del entry(maps)["instrument"]["children"]["diode"]
        entry(maps)["items"]["children"]["late"] = "not yet"

    def end(maps: dict[str, Any]) -> None:
        entry(maps)["items"]["children"]["late"] = SPECTRUM
        maps["@ROOT@/late.h5"]["children"]["points"] = {
            "type": "group",
            "children": {"spectra": SPECTRUM},
        }

    report = save(begin, end)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert {channel.name: channel.on_disk for channel in report.channels} == {
        "timer:elapsed_time": 25,
        "mca:spectrum": 25,
        "cam1:image": 25,
        "diode_samples": 25,
    }
    with h5py.File(images / "data.h5") as file, h5py.File(images / "late.h5") as late:
        np.testing.assert_array_equal(file["1.1/items/late"], SPECTRA)
        np.testing.assert_array_equal(late["points/spectra"], SPECTRA)
        assert file["1.1/instrument/diode/samples_lengths"].shape == (25,)
    assert not list(images.glob(".*journal*"))


def test_a_scan_may_go_to_several_files_from_its_start(
    save: Callable[..., ScanReport], images: Path
) -> None:
    def change(maps: dict[str, Any]) -> None:
        maps["@ROOT@/spectra/mca.h5"] = {
            "type": "group",
            "children": {
                "1.1": {
                    "type": "group",
                    "attributes": {"NX_class": "NXentry"},
                    "children": {
                        "spectra": SPECTRUM,
                        "frames": {"type": "stream", "stream": "cam1:image"},
                    },
                }
            },
        }
        entry(maps)["instrument"]["children"]["mca"]["children"]["data"] = {
            "type": "external_link",
            "target_file": "spectra/mca.h5",
            "target_path": "/1.1/spectra",
        }
        entry(maps)["items"]["children"]["twice"] = 0

    report = save(change)
    assert (report.state, report.warnings) == (SavingState.SAVED, ())
    assert {channel.on_disk for channel in report.channels} == {25}
    with h5py.File(images / "data.h5") as file:
        np.testing.assert_array_equal(file["1.1/instrument/mca/data"], SPECTRA)
    with h5py.File(images / "spectra" / "mca.h5") as file:
        assert file["1.1/writer/status"][()] == b"SUCCEEDED"
        assert "end_time" in file["1.1"]
        np.testing.assert_array_equal(file["1.1/frames"][:, 3, 5], np.arange(25))


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("../mapkey.h5", "is not an absolute path"),
        ("relative.h5", "is not an absolute path"),
        ("@ROOT@/../mapkey.h5", '".." in it'),
        ("/etc/mapkey.h5", "outside the allowed roots"),
        ("@ROOT@/scan0001", "is a directory"),
        ("@ROOT@/raw/../data.h5", '".." in it'),
        ("@ROOT@/same.h5", "another name of a file"),
        ("@ROOT@/bad\0name.h5", "NUL"),
    ],
)
def test_a_bad_file_of_a_map_costs_that_file_and_says_so(
    name: str, fact: str, save: Callable[..., ScanReport], images: Path, tmp_path: Path
) -> None:
    (images / "same.h5").symlink_to("data.h5")

    def change(maps: dict[str, Any]) -> None:
        maps[name] = {"type": "group", "children": {"1.1": {"type": "group"}}}

    report = save(change, allowed_roots=(str(images),))
    assert report.state is SavingState.FAILED
    assert fact.lower() in report.error.lower()
    assert all(channel.on_disk == channel.published == 25 for channel in report.channels)
    with h5py.File(images / "data.h5") as file:
        assert file["1.1/writer/status"][()] == b"SUCCEEDED"
        assert fact.lower() in file["1.1/writer/description"].asstr()[()].lower()
        assert "end_time" in file["1.1"]
    with h5py.File(images / "late.h5") as file:
        assert "end_reason" in file["1.1"]
    assert not list(tmp_path.rglob("mapkey.h5"))
    assert not list(images.glob(".*journal*"))


def test_an_entry_that_another_file_has_already_is_not_touched(
    save: Callable[..., ScanReport], images: Path
) -> None:
    with h5py.File(images / "late.h5", "w") as file:
        file["1.1"] = "of somebody else"
    report = save(nothing)
    assert report.state is SavingState.FAILED
    assert "late.h5 has an entry 1.1 already" in report.error
    with h5py.File(images / "late.h5") as file:
        assert file["1.1"][()] == b"of somebody else"
    with h5py.File(images / "data.h5") as file:
        assert file["1.1/end_reason"][()] == b"SUCCESS"


def test_a_scan_without_a_usable_map_is_saved_as_nexus(
    save: Callable[..., ScanReport], images: Path
) -> None:
    report = save(lambda maps: maps.update({OWN: "nonsense"}))
    assert report.state is SavingState.SAVED
    assert "no usable map" in "".join(report.warnings)
    with h5py.File(images / "data.h5") as file:
        assert file["1.1/measurement/elapsed_time"].shape == (25,)
        assert "no usable map" in file["1.1/writer/description"].asstr()[()]


def test_the_first_map_counts_if_the_second_cannot_be_used(
    save: Callable[..., ScanReport], images: Path
) -> None:
    report = save(nothing, lambda maps: maps.update({OWN: {"type": "nonsense"}}))
    assert report.state is SavingState.SAVED
    with h5py.File(images / "data.h5") as file:
        assert file["1.1/items/raw_int"][()] == 7
        assert file["1.1/end_reason"][()] == b"SUCCESS"
        assert "end_time" in file["1.1"]


def test_a_killed_worker_costs_no_point_of_any_file(
    recordings: Path, redis_url: str, start_saver: StartSaver, images: Path, tmp_path: Path
) -> None:
    def change(document: dict[str, Any]) -> None:
        if "h5maps" in document["info"]:
            document["info"]["h5maps"]["@ROOT@/mca.h5"] = {
                "type": "group",
                "children": {"1.1": {"type": "group", "children": {"spectra": SPECTRUM}}},
            }

    source = changed_recording(
        recordings / "h5maps.json.gz", tmp_path, lambda scan: each_document(scan, change)
    )
    saver = start_saver(layout="h5map")
    publishing = Publishing(source, redis_url, images, speed=0, hold=True)
    publishing.wait_for(ScanState.STARTED)
    saver.wait_for(lambda status: status.running and status.running[0].points_saved >= 100)
    kill_holder(images / "data.h5")
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert {channel.on_disk for channel in report.channels} == {25}
    with h5py.File(images / "data.h5") as file, h5py.File(images / "mca.h5") as other:
        np.testing.assert_array_equal(file["1.1/instrument/mca/data"], SPECTRA)
        np.testing.assert_array_equal(file["1.1/items/twice"], SPECTRA)
        np.testing.assert_array_equal(other["1.1/spectra"], SPECTRA)
        assert "end_time" in file["1.1"]


def test_files_that_datasets_lead_to_and_that_do_not_exist_are_named(
    save: Callable[..., ScanReport], images: Path
) -> None:
    (images / "scan0001" / "raw.bin").unlink()
    (images / "scan0001" / "cam1_0001.h5").rename(images / "scan0001" / "other.h5")

    def without_camera(maps: dict[str, Any]) -> None:
        del entry(maps)["instrument"]["children"]["cam1"]

    report = save(without_camera)
    assert report.state is SavingState.SAVED
    with h5py.File(images / "data.h5") as file:
        told = file["1.1/writer/description"].asstr()[()]
    for item, name in (("vds", "cam1_0001.h5"), ("extbin", "raw.bin")):
        for text in (told, "\n".join(report.warnings)):
            (line,) = [line for line in text.splitlines() if name in line]
            assert line.startswith(f"/1.1/items/{item} in ")
            assert line.endswith("which does not exist")
