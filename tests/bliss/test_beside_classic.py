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
from bliss.beside.scenarios import (
    CAMERAS,
    EACH,
    GIVEN_UP,
    LAB,
    creator,
    files_of_writers,
    finished,
    get_ready,
    run,
)
from bliss.beside.writers import ClassicWriter, SaverBeside, can_have_own_folder
from file.compare import compare, extras
from file.intended_differences import is_added

from tango_saver.demo.redis_server import RedisServer

pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

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
            get_ready(session)
            yield Beside(session, tango.DeviceProxy(classic.device), saver, classic_root, our_root)


def _run(beside: Beside, module: str, scenario: str) -> list[Path]:
    """Run the scans of a scenario into folders of its own; the files when both have saved them."""
    before = set(files_of_writers(beside.classic_root))
    try:
        run(beside.session, module, scenario, beside.classic_root)
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
    files = [file for file in files_of_writers(beside.classic_root) if file not in before]
    entries = {file: dict.fromkeys(finished(beside.classic_root / file), True) for file in files}
    wait_until(
        lambda: {file: finished(beside.our_root / file) for file in files} == entries,
        f"{scenario} saved by ours: {entries}",
    )
    wait_until(lambda: beside.saver.State() == tango.DevState.ON, "listening again")
    if scenario in CAMERAS:
        images = Path(scenario, "images")
        shutil.copytree(beside.classic_root / images, beside.our_root / images, dirs_exist_ok=True)
    return files


@pytest.mark.parametrize(("module", "scenario"), EACH)
def test_a_scan_is_saved_as_the_classic_writer_saves_it_at_the_same_time(
    beside: Beside, module: str, scenario: str
) -> None:
    saved, failed, lost = beside.saver.ScansSaved, beside.saver.ScansFailed, beside.saver.PointsLost

    files = _run(beside, module, scenario)

    assert files
    assert set(files_of_writers(beside.our_root)) >= set(files)
    for file in files:
        classic, ours = beside.classic_root / file, beside.our_root / file
        assert [creator(file) for file in (classic, ours)] == ["blissdata", "tango_saver"]
        assert finished(ours).keys() == finished(classic).keys()
        assert compare(classic, ours, scenario) == [], file
        assert [path for path in extras(classic, ours) if not is_added(scenario, path)] == []
    assert beside.saver.ScansSaved > saved
    assert (beside.saver.ScansFailed, beside.saver.PointsLost) == (failed, lost)
