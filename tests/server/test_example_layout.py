"""The layout of the documentation's script for scans of BLISS >= 2."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from saving import StartSaver

from tango_saver.demo.publisher import published_channels, replay
from tango_saver.model.report import SavingState


@pytest.mark.parametrize(
    "recording", ["ascan", "amesh", "mca", "samples", "two_timers", "timescan_aborted", "dtypes"]
)
def test_every_channel_of_a_scan_is_in_measurement_by_its_full_name(
    recording: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(layout="example")
    source = recordings / f"{recording}.json.gz"
    (key,) = replay(source, redis_url, tmp_path, speed=0, writer="nexus", file="data.h5")
    (report,) = saver.reports([key])
    assert report.state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5") as file:
        saved = {
            name: dataset[()]
            for entry in file
            for name, dataset in file[f"{entry}/measurement"].items()
        }
        first = min(file, key=len)
        assert first == report.entries[0] == f"{report.number}_{report.name}"
    for channel in published_channels(source):
        np.testing.assert_array_equal(saved[channel.name.replace("/", "_")], channel.values)


def test_a_sequence_leads_to_its_sub_scans(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(layout="example")
    source = recordings / "sequence.json.gz"
    keys = replay(source, redis_url, tmp_path, speed=0, writer="nexus", file="data.h5")
    reports = saver.reports(keys)
    with h5py.File(tmp_path / "data.h5") as file:
        sequence = file[reports[0].entries[0]]
        assert set(sequence["scans"]) == {e for r in reports[1:] for e in r.entries}
        assert all("title" in scan for scan in sequence["scans"].values())
        assert sequence["measurement/scan_numbers"][()].tolist() == [r.number for r in reports[1:]]


def test_frames_of_a_detector_are_a_table(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(layout="example")
    images = Path(__file__).parent.parent / "file" / "files" / "lima_hdf5"
    (key,) = replay(
        recordings / "lima_hdf5.json.gz", redis_url, tmp_path, speed=0, writer="nexus",
        file="data.h5", images=images,
    )  # fmt: skip
    (report,) = saver.reports([key])
    assert report.state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5") as file:
        (table,) = (
            data
            for name, data in file[f"{report.entries[0]}/measurement"].items()
            if "image" in name
        )
        rows = table.asstr()[()].tolist()
    assert rows
    for name, file_format, index, inside, relative in rows:
        assert (Path(relative).name, file_format) == (name, "HDF5")
        with h5py.File(tmp_path / relative) as frames:
            assert int(index) < frames[inside].shape[0]
