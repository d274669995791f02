"""``tango-saver register``: all devices of a session, as often as one likes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tango
import yaml

from tango_saver.control.registration import (
    SessionDevices,
    beacon_yaml,
    is_beacon,
    register_session,
    write_beacon_file,
)
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.redis_server import free_port
from tango_saver.errors import ConfigurationError

pytestmark = pytest.mark.tango

_RESOURCES = Path(__file__).parents[2] / "resources" / "tango"
_EXAMPLE = SessionDevices(
    "my_session",
    instance="lab",
    properties={"beacon_host": ["beacon:25000"], "allowed_roots": ["/data"]},
)
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def database(tango_database: TangoDatabase) -> tango.Database:
    """The Tango database."""
    return tango.Database("127.0.0.1", tango_database.port)


@pytest.fixture
def run(tango_database: TangoDatabase) -> Run:
    """Runs the command as a user does."""

    def start(*arguments: str, host: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).parent / "tango-saver"), "register", *arguments],
            env={**os.environ, "TANGO_HOST": host or tango_database.host},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return start


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--property", "disk=3"), "disk_warning"),
        (("--property", "workers=four"), "workers"),
        (("--property", "layout=papyrus"), "layout"),
        (("--property", "metrics_port=70000"), "metrics_port"),
        (("--property", "keepshape=perhaps"), "keepshape"),
        (("--beacon-host", "beacon"), "beacon_host"),
        (("--allowed-root", "data"), "allowed_roots"),
    ],
)
def test_what_no_device_could_use_is_told_in_a_line_and_not_registered(
    run: Run, database: tango.Database, arguments: tuple[str, ...], named: str
) -> None:
    done = run("--session", "unusable", *arguments)

    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(database.get_device_name("TangoSaver/unusable", "*"))


def test_a_server_that_runs_is_said_to_need_init_when_something_changed(
    run: Run, tango_database: TangoDatabase, tmp_path: Path
) -> None:
    options = ("--session", "running", "--no-writers", "--property", f"state_directory={tmp_path}")
    run(*options)
    with SaverServer(tango_database, "running", "id00/tango_saver/running", tmp_path):
        same = run(*options)
        other = run(*options, "--property", "workers=2")

    assert "Init" not in same.stdout
    assert "TangoSaver/running runs: changed properties take effect at Init." in other.stdout


def test_a_property_is_taken_away_by_an_empty_value(run: Run, database: tango.Database) -> None:
    run("--session", "emptied", "--beacon-host", "beacon:25000")

    assert run("--session", "emptied", "--property", "beacon_host=").returncode == 0
    name = "id00/tango_saver/emptied"
    assert "".join(database.get_device_property(name, "beacon_host")["beacon_host"]) == ""


def test_no_database_is_told_with_the_address_that_was_tried(run: Run) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    done = run("--session", "nowhere", host=nobody)

    assert done.returncode == 1
    assert nobody in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def _declared(text: str) -> dict[str, dict[str, object]]:
    """Devices of a Beacon file by class: name and properties, one or several values each."""
    content = yaml.safe_load(text)
    assert content["server"] == "TangoSaver"
    return {
        device["class"]: {"name": device["tango_name"], **device["properties"]}
        for device in content["device"]
    }


def test_one_command_registers_all_devices_of_a_session(run: Run, database: tango.Database) -> None:
    done = run(
        "--session", "one", "--instance", "lab1", "--domain", "id99", "--redis", "redis://r:1",
        "--allowed-root", "/data", "--allowed-root", "/scratch", "--property", "workers=2",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    for class_name, family in (
        ("TangoSaver", "tango_saver"), ("NexusWriter", "nexus_writer"),
        ("BlissWriter", "bliss_writer"),
    ):  # fmt: skip
        name = f"id99/{family}/one"
        info = database.get_device_info(name)
        assert (info.class_name, info.ds_full_name) == (class_name, "TangoSaver/lab1")
        found = database.get_device_property(
            name, ["session", "redis_url", "allowed_roots", "workers"]
        )
        assert {key: list(value) for key, value in found.items()} == {
            "session": ["one"],
            "redis_url": ["redis://r:1"],
            "allowed_roots": ["/data", "/scratch"],
            "workers": ["2"],
        }
        assert f"{name} ({class_name}): registered in TangoSaver/lab1" in done.stdout
        assert list(database.get_class_property(class_name, "Description")["Description"])


def test_a_repetition_says_that_there_is_nothing_to_change(run: Run) -> None:
    assert "registered in TangoSaver/again" in run("--session", "again").stdout

    done = run("--session", "again")
    changed = run("--session", "again", "--property", "workers=3")

    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == [
        "nothing to change"
    ] * 3
    assert [line.rpartition(": ")[2] for line in changed.stdout.splitlines()] == ["workers = 3"] * 3


def test_a_second_writer_of_a_session_is_refused_before_anything_is_done(
    run: Run, database: tango.Database
) -> None:
    entry = tango.DbDevInfo()
    entry.name, entry._class, entry.server = "id98/other/two", "NexusWriter", "nexuswriter/lab"
    database.add_device(entry)
    database.put_device_property("id98/other/two", {"session": ["two"]})

    done = run("--session", "two")

    assert done.returncode == 1
    assert "id98/other/two of nexuswriter/lab" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(database.get_device_name("TangoSaver/two", "TangoSaver"))


def test_second_server_of_a_shared_session_has_no_writers_that_bliss_would_find(
    run: Run, database: tango.Database
) -> None:
    shared = ("--session", "shared", "--property", "shared_session=true")
    assert run(*shared, "--instance", "first", "--domain", "first").returncode == 0
    assert "--no-writers" in run(*shared, "--instance", "second", "--domain", "second").stderr

    done = run(*shared, "--instance", "second", "--domain", "second", "--no-writers")

    assert done.returncode == 0, done.stderr
    assert list(database.get_device_class_list("TangoSaver/second"))[1::2] == [
        "DServer",
        "TangoSaver",
    ]


def test_writers_of_sessions_of_the_same_name_at_other_beacons_are_no_matter(
    database: tango.Database,
) -> None:
    for number in (1, 2):
        devices = SessionDevices(
            "same", f"beacon{number}", f"id9{number}", {"beacon_host": [f"beacon{number}:25000"]}
        )

        assert "registered" in "".join(register_session(database, devices))


def test_no_database_is_told_in_one_line(run: Run) -> None:
    done = run("--session", "x", host="localhost:1")

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "TANGO_HOST" in done.stderr


def test_a_property_without_a_value_is_a_wrong_use(run: Run) -> None:
    assert run("--session", "x", "--property", "workers").returncode == 2


def test_this_database_is_not_taken_for_that_of_beacon(database: tango.Database) -> None:
    assert not is_beacon(database)


def test_the_file_for_beacon_is_written_once_and_never_overwritten(tmp_path: Path) -> None:
    devices = SessionDevices("three", properties={"workers": ["2"]})
    assert "written" in write_beacon_file(tmp_path, devices)
    (file,) = (tmp_path / "tango").iterdir()
    assert _declared(file.read_text())["NexusWriter"] == {
        "name": "id00/nexus_writer/three",
        "session": "three",
        "workers": "2",
    }

    assert write_beacon_file(tmp_path, devices).endswith("nothing to change")
    file.write_text("edited by hand")
    with pytest.raises(ConfigurationError, match="something else"):
        write_beacon_file(tmp_path, devices)

    assert file.read_text() == "edited by hand"
    with pytest.raises(ConfigurationError, match="no folder"):
        write_beacon_file(tmp_path / "nowhere", devices)


@pytest.mark.parametrize("text", ["yes", "12", "1.5", "a: b", "", "a b", "ö", "#x", "[x]", "null"])
def test_every_text_comes_out_of_the_file_as_it_was(text: str) -> None:
    declared = _declared(beacon_yaml(SessionDevices("s", properties={"layout": [text]})))

    assert declared["TangoSaver"]["layout"] == text


def test_the_example_for_beacon_is_what_register_writes() -> None:
    assert (_RESOURCES / "beacon.yml").read_text() == beacon_yaml(_EXAMPLE)


def test_the_example_for_dsconfig_declares_the_same_devices() -> None:
    content = json.loads((_RESOURCES / "dsconfig.json").read_text())

    assert content["servers"]["TangoSaver"] == {
        "lab": {
            class_name: {name: {"properties": _EXAMPLE.all_properties}}
            for class_name, name in _EXAMPLE.names.items()
        }
    }
