"""Real BLISS 2.2.1, all scenarios of the lab, saved by our NexusWriter, which BLISS waits for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import tango
from bliss.beamline import (
    DEVICE,
    HERE,
    SERVER_INSTANCE,
    SESSION,
    Beacon,
    BlissShell,
    wait_until,
)
from bliss.beside.scenarios import (
    EACH,
    GIVEN_UP,
    LAB,
    creator,
    files_of_writers,
    finished,
    get_ready,
    run,
)

from tango_saver.demo.processes import SaverServer
from tango_saver.demo.redis_server import RedisServer
from tango_saver.engine.verifying import verify
from tango_saver.model.settings import SaverSettings

pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

WRITER = "demo/nexus_writer/demo"


@dataclass(frozen=True, slots=True)
class Alone:
    """Our writer and the session that it saves."""

    session: BlissShell
    writer: tango.DeviceProxy
    root: Path
    settings: SaverSettings


@pytest.fixture(scope="module")
def alone(bliss_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """Redis, Beacon, our server and a session, for all scenarios."""
    folder = tmp_path_factory.mktemp("alone")
    root = folder / "data"
    lab = folder / "lab"
    shutil.copytree(LAB / "beacon", lab / "beacon", ignore=shutil.ignore_patterns("tango"))
    shutil.copytree(HERE / "lab" / "beacon" / "tango", lab / "beacon" / "tango")
    with (
        RedisServer(folder / "data_redis", max_memory_mb=512) as data,
        RedisServer(folder / "settings_redis", max_memory_mb=512) as settings,
    ):
        with redis.Redis.from_url(data.url) as client:
            client.flushall()  # Beacon prepares an empty database in its own way
            client.function_flush()
        names = {
            "REDIS_URL": data.url,
            "DATA_ROOT": str(root),
            "STATE_DIRECTORY": str(folder / "state"),
        }
        with (
            Beacon(bliss_python, folder, data.url, settings.url, names, lab) as beacon,
            SaverServer(beacon, SERVER_INSTANCE, DEVICE, folder),
            BlissShell(bliss_python, beacon.environment, folder) as session,
        ):
            writer = tango.DeviceProxy(f"tango://{beacon.host}/{WRITER}")
            wait_until(lambda: writer.State() == tango.DevState.ON, "listening")
            get_ready(session)
            yield Alone(session, writer, root, SaverSettings(session=SESSION, redis_url=data.url))


@pytest.mark.parametrize(("module", "scenario"), EACH)
def test_every_scan_is_saved_by_the_writer_that_bliss_waits_for(
    alone: Alone, module: str, scenario: str
) -> None:
    before = set(files_of_writers(alone.root))
    saved, failed = alone.writer.ScansSaved, alone.writer.ScansFailed

    run(alone.session, module, scenario, alone.root)
    if scenario in GIVEN_UP:
        wait_until(lambda: alone.writer.scan_names, "heard")
        (name,) = [n for n in alone.writer.scan_names if n.endswith(f"_{scenario}")]
        alone.writer.stop_scan(name)
    wait_until(lambda: alone.writer.State() == tango.DevState.ON, f"{scenario} saved")

    files = [alone.root / file for file in files_of_writers(alone.root) if file not in before]
    assert files
    for file in files:
        assert creator(file) == "tango_saver"
        assert all(finished(file).values()), file
    # Redis has no end of the scan whose session was killed, only the file has.
    verdicts = list(verify(files, None if scenario in GIVEN_UP else alone.settings))
    assert len(verdicts) >= sum(len(finished(file)) for file in files)
    assert [str(verdict) for verdict in verdicts if not verdict.complete] == []
    assert alone.writer.ScansSaved > saved
    assert (alone.writer.ScansFailed, alone.writer.PointsLost) == (failed, 0)
