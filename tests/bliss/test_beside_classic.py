"""Real BLISS 2.2.1, its scans saved by the classic writer and by ours at the same time.

Both listen to the same session and are told the same path. The mount namespace of our server has
a folder of its own there, so that each of them believes to be alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import pytest
import redis
import tango
from bliss.beamline import (
    DEVICE,
    SERVER_INSTANCE,
    Beacon,
    BlissError,
    BlissShell,
    wait_until,
)
from bliss.beside.writers import ClassicWriter, SaverBeside, can_have_own_folder
from file.compare import compare, extras
from file.intended_differences import is_added

from tango_saver.demo.redis_server import RedisServer

pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

LAB = Path(__file__).parent / "beside"
CAMERAS = ("lima_hdf5", "lima_edf", "lima_unsaved", "lima_short", "lima2_hdf5")
SCENARIOS = {
    "plain_scans": (
        "ascan", "a2scan_pseudo", "loopscan_modes", "samples", "amesh", "lookupscan", "ct_saved",
        "ct_unsaved", "mca", "two_timers", "stepper_and_timer", "sequence", "metadata",
        "positioners_move", "quick200", "parallel", "esrf_policy", "plots", "plotselect",
        "separate_files",
    ),
    "odd_scans": (
        "timescan_aborted", "scan_raises", "prepare_fails", "dtypes", "uneven", "no_data",
        "killed", "long_flat", "options",
    ),
    "camera_scans": CAMERAS,
}  # fmt: skip
"""By the module that has them."""
GIVEN_UP = frozenset({"killed"})
"""The classic writer holds these scans until somebody stops it."""
UNSAVABLE = frozenset({"dtypes"})
"""The classic writer cannot save these scans."""
IMAGES = tuple(f"{name}/images" for name in CAMERAS)
"""Folders of what the cameras save, seen by both writers."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The two writers and the session that they save."""

    session: BlissShell
    classic: tango.DeviceProxy
    saver: tango.DeviceProxy
    classic_root: Path
    our_root: Path


@pytest.fixture(scope="module")
def beside(bliss_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """Redis, Beacon, both writers and a session, for all scenarios."""
    folder = tmp_path_factory.mktemp("beside")
    classic_root, our_root = folder / "data", folder / "ours"
    for root, image_folder in product((classic_root, our_root), IMAGES):
        (root / image_folder).mkdir(parents=True)
    if not can_have_own_folder(our_root):
        pytest.skip("this system allows no mount namespaces (unshare --user --mount)")
    with (
        RedisServer(folder / "data_redis", max_memory_mb=512) as data,
        RedisServer(folder / "settings_redis", max_memory_mb=512) as settings,
    ):
        with redis.Redis.from_url(data.url) as client:
            client.flushall()  # Beacon prepares an empty database in its own way
            client.function_flush()
        names = {
            "REDIS_URL": data.url,
            "DATA_ROOT": str(classic_root),
            "STATE_DIRECTORY": str(folder / "state"),
        }
        with (
            Beacon(bliss_python, folder, data.url, settings.url, names, LAB) as beacon,
            ClassicWriter(bliss_python, beacon, folder) as classic,
            SaverBeside(
                beacon,
                SERVER_INSTANCE,
                DEVICE,
                folder,
                own=our_root,
                place=classic_root,
                shared=IMAGES,
            ) as server,
            BlissShell(bliss_python, beacon.environment, folder) as session,
        ):
            saver = tango.DeviceProxy(server.device)
            wait_until(lambda: saver.State() == tango.DevState.ON, "listening")
            session.enter(f"import sys; sys.path.append({str(LAB)!r})")
            session.enter(f"import {', '.join(SCENARIOS)}")
            session.enter("SCAN_SAVING.writer = 'nexus'")
            session.enter("SCAN_SAVING.template = ''; SCAN_SAVING.data_filename = 'data'")
            yield Beside(session, tango.DeviceProxy(classic.device), saver, classic_root, our_root)


def _finished(file: Path) -> dict[str, bool]:
    """The entries of a file that are no links, and whether each is complete."""
    try:
        with h5py.File(file, "r", locking=False) as opened:
            own = [n for n in opened if isinstance(opened.get(n, getlink=True), h5py.HardLink)]
            return {name: "end_time" in opened[name] for name in own}
    except (OSError, KeyError, RuntimeError):  # it is being made or flushed
        return {"": False}


def _run(beside: Beside, module: str, scenario: str) -> list[Path]:
    """Run the scans of a scenario into folders of its own; the files when both have saved them."""
    before = set(_files(beside.classic_root))
    images = "images/" if scenario in CAMERAS else ""
    beside.session.enter(f"SCAN_SAVING.images_path_template = '{images}scan{{scan_number}}'")
    beside.session.enter(f"SCAN_SAVING.base_path = {str(beside.classic_root / scenario)!r}")
    try:
        beside.session.enter(f"{module}.{scenario}()")
    except BlissError as error:
        # BLISS stops a scan that its writer cannot save, if the scan is not over by then.
        if scenario not in UNSAVABLE or "Nexus writer is in FAULT state" not in str(error):
            raise
    if scenario in GIVEN_UP:
        wait_until(lambda: beside.saver.State() == tango.DevState.ON, "given up")
        (name,) = [n for n in beside.classic.scan_names if n.endswith(f"_{scenario}")]
        beside.classic.stop_scan(name)
    # BLISS makes sure that the classic writer knows of every scan before it starts.
    wait_until(lambda: beside.classic.state() == tango.DevState.ON, f"{scenario} saved by classic")
    files = [file for file in _files(beside.classic_root) if file not in before]
    entries = {file: dict.fromkeys(_finished(beside.classic_root / file), True) for file in files}
    wait_until(
        lambda: {file: _finished(beside.our_root / file) for file in files} == entries,
        f"{scenario} saved by ours: {entries}",
    )
    wait_until(lambda: beside.saver.State() == tango.DevState.ON, "listening again")
    if scenario in CAMERAS:
        images = Path(scenario, "images")
        shutil.copytree(beside.classic_root / images, beside.our_root / images, dirs_exist_ok=True)
    return files


def _files(root: Path) -> list[Path]:
    """The files that a writer has made, in its own folder."""
    return sorted(
        path.relative_to(root) for path in root.rglob("*.h5") if "images" not in path.parts
    )


def _creator(file: Path) -> str:
    with h5py.File(file, locking=False) as opened:
        return str(opened.attrs["creator"])


@pytest.mark.parametrize(
    ("module", "scenario"),
    [(module, scenario) for module, scenarios in SCENARIOS.items() for scenario in scenarios],
)
def test_a_scan_is_saved_as_the_classic_writer_saves_it_at_the_same_time(
    beside: Beside, module: str, scenario: str
) -> None:
    saved, failed, lost = beside.saver.ScansSaved, beside.saver.ScansFailed, beside.saver.PointsLost

    files = _run(beside, module, scenario)

    assert files
    assert set(_files(beside.our_root)) >= set(files)
    for file in files:
        classic, ours = beside.classic_root / file, beside.our_root / file
        assert [_creator(file) for file in (classic, ours)] == ["blissdata", "tango_saver"]
        assert _finished(ours).keys() == _finished(classic).keys()
        assert compare(classic, ours, scenario) == [], file
        assert [path for path in extras(classic, ours) if not is_added(scenario, path)] == []
    assert beside.saver.ScansSaved > saved
    assert (beside.saver.ScansFailed, beside.saver.PointsLost) == (failed, lost)
