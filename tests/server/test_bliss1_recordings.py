"""Recorded scans of BLISS 1, published again, become the files that its writers made."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from file.compare import compare
from saving import RunningSaver, StartSaver

from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.model.report import SavingState

RECORDINGS = Path(__file__).parent.parent.parent / "resources" / "recordings" / "bliss1"
GOLDEN = Path(__file__).parent.parent / "file" / "golden_bliss1"
NAMES = tuple(sorted(path.name.removesuffix(".jsonl.gz") for path in RECORDINGS.iterdir()))
WITHOUT_FILE = frozenset({"ct", "nosave", "boolean"})
"""Not saved at all, or by a session that gave no file."""
LOADED = {"as_recorded": (1.0, 0), "flat_out": (0.0, 0), "command_by_command": (0.0, 1)}


def expected(name: str) -> list[dict[str, Any]]:
    """What a correct reader gets of each scan."""
    with gzip.open(GOLDEN / name / "expected.json.gz") as file:
        scans: list[dict[str, Any]] = json.load(file)["scans"]
    return scans


def publish(name: str, redis_url: str, root: Path, **how: Any) -> list[str]:
    """Publish a recording with its images; the keys of its scans that are saved."""
    images = GOLDEN / name / "files"
    recorded = images if images.is_dir() and name != "policy" else None
    replay_bliss1(RECORDINGS / f"{name}.jsonl.gz", redis_url, root, images=recorded, **how)
    return [scan["db_name"] for scan in expected(name) if scan["save"] and scan["filename"]]


def file_of(scan: dict[str, Any], root: Path) -> Path:
    """Where we save a scan: beside the file that the session itself writes."""
    path = Path(scan["filename"].replace("/tmp/bliss1fx", str(root)))  # noqa: S108 - as recorded
    return path.with_stem(f"{path.stem}_external") if scan["data_writer"] == "hdf5" else path


def save(name: str, saver: RunningSaver, root: Path, **how: Any) -> None:
    """Publish a recording and wait until all of it is saved, completely."""
    reports = saver.reports(publish(name, saver.settings.redis_url, root, **how))
    assert [report for report in reports if report.state is not SavingState.SAVED] == []
    for report in reports:
        assert [c for c in report.channels if c.on_disk != c.published or c.gaps] == []


@pytest.mark.parametrize("pace", LOADED)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_FILE])
def test_a_scan_of_bliss_1_becomes_the_file_of_the_documentations_script(
    name: str, pace: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    speed, split = LOADED[pace]
    saver = start_saver(bliss="1", layout="example")
    save(name, saver, tmp_path / "data", speed=speed, split=split)
    for scan in expected(name):
        if scan["save"] and scan["filename"]:
            compare_values(scan, file_of(scan, tmp_path / "data"))
    for kind in ("example", "hdf5"):
        golden = GOLDEN / name / f"{kind}.h5.gz"
        if golden.exists():
            ours = file_of(expected(name)[0], tmp_path / "data")
            assert compare(golden, ours, f"bliss1/{name}/{kind}") == []


@pytest.mark.parametrize("name", sorted(WITHOUT_FILE))
def test_of_a_scan_that_is_not_to_be_saved_there_is_no_file(
    name: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(bliss="1", layout="example")
    assert publish(name, saver.settings.redis_url, tmp_path / "unsaved", speed=1.0) == []
    save("loopscan", saver, tmp_path / "saved", speed=0.0)
    assert [path for path in (tmp_path / "unsaved").rglob("*") if path.is_file()] == []
    assert saver.conductor.status().scans_saved == 1


@pytest.mark.parametrize("pace", LOADED)
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("nexus_")])
def test_a_scan_of_bliss_1_becomes_the_file_of_its_nexus_writer(
    name: str, pace: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    speed, split = LOADED[pace]
    saver = start_saver(bliss="1", layout="nexus")
    save(name, saver, tmp_path / "data", speed=speed, split=split)
    (scan,) = expected(name)
    ours = file_of(scan, tmp_path / "data")
    # Beside ours: it looks for the files of the detectors from where it lies.
    golden = ours.with_name("golden.h5")
    golden.write_bytes(gzip.decompress((GOLDEN / name / "nexus.h5.gz").read_bytes()))
    assert compare(golden, ours, f"bliss1/{name}/nexus") == []


def compare_values(scan: dict[str, Any], path: Path) -> None:
    """Every value of every channel, and every reference, as the publisher sent them."""
    with h5py.File(path, "r", locking=False) as file:
        for channel in scan["channels"]:
            (dataset,) = datasets(file, scan, channel["name"]) or (None,)
            if channel["node_type"] == "lima":
                rows = [] if dataset is None else dataset.asstr()[()].tolist()
                assert references(rows, path) == published_references(scan, channel, path)
            elif channel["node_type"] == "channel":
                assert dataset is not None, channel["name"]
                assert digest(dataset) == channel["sha256_of_rows"], channel["name"]


def datasets(file: h5py.File, scan: dict[str, Any], channel: str) -> list[h5py.Dataset]:
    """The datasets of a channel in all entries of a scan."""
    number, _, name = scan["name"].partition("_")
    entries = [
        entry for entry in file if entry.partition("_")[2] == name
        and entry.partition("_")[0].partition(".")[0] == number
    ]  # fmt: skip
    return [
        file[f"{entry}/measurement/{channel}"]
        for entry in entries
        if channel in file[f"{entry}/measurement"]
    ]


def digest(dataset: h5py.Dataset) -> str:
    """Of the bytes of all rows, without what pads them."""
    lengths = dataset.parent.get(f"{dataset.name.rpartition('/')[2]}_lengths")
    rows = dataset[()]
    if lengths is None:
        return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
    cut = (row[:length].tobytes() for row, length in zip(rows, lengths[()], strict=True))
    return hashlib.sha256(b"".join(cut)).hexdigest()


def references(rows: list[list[str]], path: Path) -> list[list[str]]:
    """Path, dataset, index and format of each frame."""
    return [
        [str((path.parent / relative).resolve()), inside, index, file_format]
        for _, file_format, index, inside, relative in rows
    ]


def published_references(
    scan: dict[str, Any], channel: dict[str, Any], path: Path
) -> list[list[str]]:
    recorded = Path(scan["filename"]).parent
    return [
        [str((path.parent / Path(file).relative_to(recorded)).resolve()), inside, str(n), kind]
        for file, inside, n, kind in channel.get("references_ready") or []
    ]
