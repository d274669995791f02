"""What a session, or those who run the saver, choose about the form of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from file.compare import compare
from publishing import Publishing, changed_recording, each_document
from saving import StartSaver
from waiting import wait_until

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"
FILTERS = {
    "none": [],
    "gzip": [h5py.h5z.FILTER_DEFLATE],
    "byteshuffle": [h5py.h5z.FILTER_SHUFFLE],
    "gzip-byteshuffle": [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE],
    "bitshuffle": [hdf5plugin.BSHUF_ID],
    "lz4-bitshuffle": [hdf5plugin.BSHUF_ID],
}


def filters_of(dataset: h5py.Dataset) -> list[int]:
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


@pytest.mark.parametrize("scheme", FILTERS)
def test_chunks_are_compressed_as_the_session_asks(
    scheme: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def change(scan: dict[str, Any]) -> None:
        def ask(doc: dict[str, Any]) -> None:
            doc["info"]["writer_options"]["chunk_options"]["compression_scheme"] = scheme

        each_document(scan, ask)

    source = changed_recording(recordings / "options.json.gz", tmp_path / "in", change)
    (report,) = start_saver().reports(replay(source, redis_url, tmp_path, speed=0))
    assert report.state is SavingState.SAVED
    assert report.warnings == ()
    assert compare(GOLDEN / "options.h5", tmp_path / "data.h5") == []
    with h5py.File(tmp_path / "data.h5") as file, h5py.File(GOLDEN / "options.h5") as golden:
        for path in ("3.1/measurement/spec", "3.1/measurement/epoch"):
            assert filters_of(file[path]) == FILTERS[scheme]
            assert file[path].chunks == golden[path].chunks


def test_a_scheme_that_nobody_knows_is_told_and_the_scan_saved(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def change(scan: dict[str, Any]) -> None:
        options = {"chunk_options": {"compression_scheme": "zip"}}
        each_document(scan, lambda doc: doc["info"].update(writer_options=options))

    source = changed_recording(recordings / "options.json.gz", tmp_path / "in", change)
    (report,) = start_saver().reports(replay(source, redis_url, tmp_path, speed=0))
    assert report.state is SavingState.SAVED
    assert "compression_scheme 'zip' is unknown" in "".join(report.warnings)
    assert compare(GOLDEN / "options.h5", tmp_path / "data.h5") == []


def test_a_mesh_keeps_its_shape_while_it_runs_and_in_the_end(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(keepshape=True)
    source = recordings / "amesh.json.gz"
    publishing = Publishing(source, redis_url, tmp_path, speed=0, hold=True)

    def shapes() -> set[tuple[int, ...]]:
        try:
            with h5py.File(tmp_path / "data.h5", "r", locking=False) as file:
                (entry,) = file.values()
                return {dataset.shape for dataset in entry["measurement"].values()}
        except (OSError, ValueError, KeyError):
            return set()

    wait_until(lambda: shapes() == {(4, 5)})
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5") as file, h5py.File(GOLDEN / "amesh.h5") as golden:
        (entry,), (flat,) = file.values(), golden.values()
        assert set(entry["measurement"]) == set(flat["measurement"])
        for name, dataset in entry["measurement"].items():
            np.testing.assert_array_equal(dataset[()].ravel(), flat["measurement"][name][()])
        assert entry["measurement/diode"].attrs["interpretation"] == "image"
        assert entry["instrument/diode/data"].shape == (4, 5)


def test_channels_of_one_timer_share_a_group_if_wanted(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(multivalue_positioners=True)
    saver.reports(replay(recordings / "loopscan_modes.json.gz", redis_url, tmp_path, speed=0))
    with h5py.File(tmp_path / "data.h5") as file:
        (entry,) = file.values()
        assert set(entry["instrument/timer"]) == {"value", "epoch"}
        assert {"timer", "timer_epoch"} <= set(entry["measurement"])
        assert {"timer", "timer_epoch"} <= set(entry["instrument/positioners"])
