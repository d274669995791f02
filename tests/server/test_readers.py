"""The programs that people read BLISS files with open every file that we make."""

from __future__ import annotations

import importlib
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import h5py
import numpy as np
import pytest
import silx.io
from blissdata.h5api import dynamic_hdf5, static_hdf5
from file.validators import nxcheck, without_links_to_scans
from nexusformat.nexus import nxload
from publishing import Publishing
from PyMca5.PyMcaCore import NexusTools
from saving import RunningSaver, StartSaver
from server.test_recordings import SAVED, golden_files, saved_scans
from silx.io.nxdata import get_default
from waiting import wait_until

from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.settings import SaverSettings

GOLDEN = Path(__file__).parent.parent / "file" / "golden"
READ = tuple(name for name in SAVED if name != "quick200")
"""Without the 200 scans that look all alike."""
MORE_WARNINGS = {"4.1": 1}
"""Entries in which validators find more than in the golden ones, and how many warnings:
``samples_lengths`` beside samples of variable length is no field of an NXdetector."""


@pytest.fixture(scope="module")
def saved(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, list[Path]]]:
    """Every recording, saved: its name -> the files."""
    folder = tmp_path_factory.mktemp("saved")
    recordings = Path(__file__).parents[2] / "resources" / "recordings" / "bliss2"
    settings = SaverSettings(
        session="*",
        redis_url=redis_server.url,
        state_directory=str(folder / "state"),
        disk_warning_gb=0.0,
    )
    saver = RunningSaver(settings)
    try:
        files = {}
        for name in READ:
            source = recordings / f"{name}.json.gz"
            keys = replay(source, redis_server.url, folder / name, speed=0, writer="nexus")
            saver.reports(saved_scans(source, keys))
            files[name] = sorted((folder / name).rglob("*.h5"))
    finally:
        saver.close()
    yield files
    shutil.rmtree(folder)


def datasets(group: h5py.Group, above: str = "") -> Iterator[tuple[str, h5py.Dataset]]:
    """All datasets, those behind links included, by the paths that lead to them."""
    for name, item in group.items():
        if isinstance(item, h5py.Dataset):
            yield f"{above}/{name}", item
        elif name != "scans":
            yield from datasets(item, f"{above}/{name}")


def beyond_dynamic(place: str, dataset: h5py.Dataset) -> bool:
    """What blissdata's dynamic reader cannot read, in golden files no more than in ours.

    It takes the source "." of a virtual dataset for a file, and finds a folder; and behind a
    link of another name (in a master) it looks for an entry of its real name.
    """
    entry = place.split("/")[1]
    return bool(dataset.is_virtual) or not re.fullmatch(r"\d+\.\d+", entry)


OPENED = {
    "static": lambda path: static_hdf5.File(str(path)),
    "dynamic": lambda path: dynamic_hdf5.File(str(path), retry_timeout=10),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("api", OPENED)
def test_blissdata_reads_every_dataset(name: str, api: str, saved: dict[str, list[Path]]) -> None:
    for path in saved[name]:
        with h5py.File(path) as file:
            values = {
                place: dataset[()]
                for place, dataset in datasets(file)
                if api == "static" or not beyond_dynamic(place, dataset)
            }
        with OPENED[api](path) as read:
            for place, value in values.items():
                np.testing.assert_equal(read[place][()], value)


@pytest.mark.parametrize("name", READ)
def test_silx_finds_a_plot_in_every_entry_with_points(
    name: str, saved: dict[str, list[Path]]
) -> None:
    for path in saved[name]:
        with silx.io.open(str(path)) as file:
            with_points = [entry for entry in file.values() if len(entry["measurement"])]
            for entry in with_points:
                plot = get_default(entry)
                assert plot is not None, entry.name
                assert plot.is_valid
                assert plot.signal.shape[0] > 0
            has_default = "default" in file.attrs and len(
                file[file.attrs["default"]]["measurement"]
            )
            assert (get_default(file) is not None) == bool(has_default)


@pytest.mark.parametrize("name", READ)
def test_pymca_finds_what_it_finds_in_the_files_of_the_classic_writer(
    name: str, saved: dict[str, list[Path]]
) -> None:
    for path in saved[name]:
        golden = next(g for place, g in golden_files(name).items() if str(path).endswith(place))
        with h5py.File(path) as ours, h5py.File(golden) as classic:
            for entry in classic:
                if not isinstance(classic.get(entry, getlink=True), h5py.HardLink):
                    continue
                title = NexusTools.getTitle(classic, f"/{entry}")
                assert NexusTools.getTitle(ours, f"/{entry}") == title
                for find in (NexusTools.getScannedPositioners, NexusTools.getMcaList):
                    assert set(find(classic, f"/{entry}")) <= set(find(ours, f"/{entry}"))


def test_pymca_finds_the_times_of_a_spectrum(saved: dict[str, list[Path]]) -> None:
    (path,) = saved["mca"]
    with h5py.File(path) as file:
        (entry,) = file
        found = NexusTools.getMcaList(file, f"/{entry}")
        assert found
        for place in found:
            companions = NexusTools.getMcaObjectPaths(file, place)
            assert {"counts", "live_time", "elapsed_time"} <= companions.keys()


@pytest.mark.parametrize("name", READ)
def test_nexusformat_loads_the_tree_and_the_plot(name: str, saved: dict[str, list[Path]]) -> None:
    for path in saved[name]:
        root = nxload(str(path))
        with h5py.File(path) as file:
            assert set(root) == set(file)
            # It cannot show the tree behind a link to a group of another file.
            own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        for entry in own:
            assert len(root[entry].tree.splitlines()) > len(root[entry])
            if "default" in root[entry].attrs:
                assert root[entry].plottable_data is not None


Findings = Callable[[Path, str], tuple[int, int]]


@pytest.fixture(scope="module")
def findings() -> Findings:
    """Numbers of warnings and errors that nxvalidate finds in an entry of a file."""
    # It asks for the width of the terminal when it is imported, and fails without one.
    with patch("os.get_terminal_size", return_value=os.terminal_size((200, 50))):
        validate = importlib.import_module("nxvalidate.validate")

    def count(path: Path, entry: str) -> tuple[int, int]:
        validate.logger.setLevel(logging.WARNING)
        validate.logger.total = {"warning": 0, "error": 0}
        warnings, errors = validate.validate_file(str(path), path=entry)
        return warnings, errors

    return count


@pytest.mark.parametrize("name", ["ascan", "mca", "metadata", "plots", "samples", "sequence"])
def test_validators_find_no_more_than_in_the_files_of_the_classic_writer(
    name: str, saved: dict[str, list[Path]], findings: Findings, tmp_path: Path
) -> None:
    (path,) = saved[name]
    ours = tmp_path / "ours.h5"
    shutil.copy(path, ours)
    without_links_to_scans(ours)
    with h5py.File(ours) as file:
        entries = list(file)
    for entry in entries:
        warnings, errors = findings(ours, entry)
        classic_warnings, classic_errors = findings(GOLDEN / f"{name}.h5", entry)
        assert errors <= classic_errors, entry
        assert warnings <= classic_warnings + MORE_WARNINGS.get(entry, 0), entry
        assert classic_warnings > 0, "the validator has looked at something"


@pytest.mark.parametrize("name", ["ascan", "mca", "scan_raises", "sequence", "uneven"])
def test_nxcheck_finds_less_than_in_the_files_of_the_classic_writer(
    name: str, saved: dict[str, list[Path]], tmp_path: Path
) -> None:
    ours = Path(shutil.copy(saved[name][0], tmp_path / "ours.h5"))
    without_links_to_scans(ours)
    found, classic = nxcheck(ours), nxcheck(GOLDEN / f"{name}.h5")
    assert len(found) < len(classic)
    assert Counter(finding.kind for finding in found) <= Counter(f.kind for f in classic)


@pytest.mark.parametrize("name", ["ascan", "mca", "plots", "scan_raises", "uneven"])
def test_punx_has_no_more_to_complain_of(name: str, saved: dict[str, list[Path]]) -> None:
    (ours,) = saved[name]
    assert collected(ours) <= collected(GOLDEN / f"{name}.h5")
    with h5py.File(ours) as file:
        for entry in file.values():
            plot = entry[entry.attrs["default"]]
            for axis in plot.attrs["axes"]:
                assert re.fullmatch(r"[A-Za-z_]\w*", axis)
                assert axis in plot


def collected(path: Path) -> set[str]:
    """Every NXcollection in a file, and what is in it: punx warns of each."""
    found: set[str] = set()

    def look(group: h5py.Group, *, inside: bool) -> None:
        for name, member in group.items():
            here = inside
            if isinstance(member, h5py.Group):
                here |= member.attrs.get("NX_class") == "NXcollection"
                look(member, inside=here)
            if here:
                found.add(f"{group.name}/{name}")

    with h5py.File(path) as file:
        look(file, inside=False)
    assert found
    return found


@pytest.mark.parametrize("api", OPENED)
def test_blissdata_reads_a_scan_that_runs(
    api: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    publishing = Publishing(source, redis_url, tmp_path, speed=0, number=1, hold=True)
    target = tmp_path / "data.h5"

    def n_points() -> int:
        try:
            with OPENED[api](target) as read:
                return int(read["1.1/measurement/diode"].shape[0])
        except (OSError, KeyError):
            return 0

    wait_until(lambda: target.exists() and n_points() == 11)
    with h5py.File(target, "r", locking=False) as file:
        assert "end_time" not in file["1.1"]
    saver.reports(publishing.finish())


def test_blissdata_follows_a_scan_to_its_end(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    publishing = Publishing(source, redis_url, tmp_path, speed=1, number=1)
    with dynamic_hdf5.File(str(tmp_path / "data.h5"), retry_timeout=20) as read:
        points = [float(point) for point in read["1.1/measurement/diode"]]
    saver.reports(publishing.finish())
    with h5py.File(tmp_path / "data.h5") as file:
        assert points == list(file["1.1/measurement/diode"])
