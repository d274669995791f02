"""The writers that BLISS calls, as BLISS calls them: answers in time, and never an exception."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import tango
from devices import SESSION, HeldScan, Publish, assert_saved_completely, property_lists
from waiting import wait_until

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.model.scan import ScanState

pytestmark = pytest.mark.tango

_STATE = tango.DevState
_CLASSES = {"TangoSaver": "saver", "NexusWriter": "nexus", "BlissWriter": "mapping"}
_UNKNOWN = "99_nothing"
_QUESTIONS_BY_NAME = {
    "scan_exists": False,
    "scan_has_write_permissions": True,
    "scan_has_required_disk_space": True,
    "scan_disk_space_error": "",
    "scan_disk_space_warning": "",
    "scan_state": _STATE.UNKNOWN,
    "scan_state_reason": "",
    "scan_url": [],
}
_QUESTIONS_BY_KEY = {
    "scan_state": _STATE.UNKNOWN,
    "scan_state_reason": "",
    "GetWarningCount": 0,
}


@dataclass
class Writers:
    """The devices of one session in one server."""

    saver: tango.DeviceProxy
    nexus: tango.DeviceProxy
    mapping: tango.DeviceProxy
    database: tango.Database

    @property
    def all(self) -> tuple[tango.DeviceProxy, ...]:
        """In the order of their classes."""
        return self.saver, self.nexus, self.mapping

    def put(self, device: tango.DeviceProxy, **properties: str | Sequence[str]) -> None:
        """Change properties of one of them, and have it read them."""
        self.database.put_device_property(device.dev_name(), property_lists(properties))
        device.Init()

    def wait_for_state(self, *states: tango.DevState) -> None:
        """Wait until all are in one of these states."""
        wait_until(lambda: {device.state() for device in self.all} <= set(states))


StartWriters = Callable[..., Writers]


@pytest.fixture
def start_writers(
    tango_database: TangoDatabase, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[StartWriters]:
    """Registers the three devices of a session with the given properties, starts the server."""
    servers: list[SaverServer] = []
    instance = f"faces{abs(hash(request.node.nodeid)) % 10**9}"

    def start(**properties: str | Sequence[str]) -> Writers:
        database = tango.Database("127.0.0.1", tango_database.port)
        names = {class_name: f"{instance}/{kind}/1" for class_name, kind in _CLASSES.items()}
        for class_name, name in names.items():
            register(
                database,
                server_instance=f"TangoSaver/{instance}",
                device=name,
                class_name=class_name,
                properties=property_lists(
                    {
                        "session": SESSION,
                        "redis_url": redis_url,
                        "state_directory": str(tmp_path / "state"),
                        "disk_warning": "0",
                        "disk_minimum": "0",
                        **properties,
                    }
                ),
            )
        server = SaverServer(tango_database, instance, names["BlissWriter"], tmp_path)
        servers.append(server)
        server.start()
        writers = Writers(*map(tango.DeviceProxy, names.values()), database)
        writers.wait_for_state(_STATE.ON, _STATE.FAULT)
        wait_until(lambda: writers.saver.Workers or writers.saver.state() == _STATE.FAULT)
        return writers

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def writers(start_writers: StartWriters) -> Writers:
    """The three devices, listening."""
    return start_writers()


def _saved(writers: Writers, number: int) -> bool:
    return bool(writers.saver.ScansSaved >= number and not len(writers.saver.RunningScans))


def test_bliss_finds_its_writers_by_class_and_session(writers: Writers) -> None:
    for class_name, device in (("NexusWriter", writers.nexus), ("BlissWriter", writers.mapping)):
        names = writers.database.get_device_name("*", class_name)

        assert device.dev_name() in [name.lower() for name in names]
        session = writers.database.get_device_property(device.dev_name(), "session")["session"]
        assert list(session) == [SESSION]


def test_unknown_scans_have_answers_instead_of_exceptions(writers: Writers) -> None:
    for command, answer in _QUESTIONS_BY_NAME.items():
        found = writers.nexus.command_inout(command, _UNKNOWN)
        assert (list(found) if isinstance(answer, list) else found) == answer, command
    for command, answer in _QUESTIONS_BY_KEY.items():
        assert writers.mapping.command_inout(command, "esrf:scan:nothing") == answer, command
    for request in ('{"scan_key": "esrf:scan:nothing", "index": 7}', "no json", "{}"):
        assert writers.mapping.GetWarning(request) == ""
    writers.nexus.stop_scan(_UNKNOWN)


def test_a_nexus_scan_is_known_checked_and_on_while_it_is_only_created(
    writers: Writers, publish: Publish
) -> None:
    answers: dict[str, object] = {}

    def ask(_key: str, state: ScanState) -> None:
        if state is ScanState.CREATED:
            for command in _QUESTIONS_BY_NAME:
                answers[command] = writers.nexus.command_inout(command, "7_ascan")

    publish("ascan", number=7, writer="nexus", on_state=ask)

    assert answers["scan_exists"] is True
    assert answers["scan_has_write_permissions"] is True
    assert answers["scan_disk_space_error"] == ""
    assert answers["scan_state"] == _STATE.ON


def test_a_nexus_scan_is_off_once_it_is_saved_and_has_a_url(
    writers: Writers, publish: Publish, tmp_path: Path
) -> None:
    publish("ascan", number=7, writer="nexus", file="seven.h5")
    wait_until(lambda: _saved(writers, 1))

    assert writers.nexus.scan_state("7_ascan") == _STATE.OFF
    assert list(writers.nexus.scan_url("7_ascan")) == [f"{tmp_path / 'seven.h5'}::/7.1"]
    assert list(writers.nexus.scan_names) == ["7_ascan"]
    assert list(writers.nexus.scan_states) == [_STATE.OFF]
    assert list(writers.nexus.scan_urls) == [f"7_ascan: {tmp_path / 'seven.h5'}::/7.1"]


def test_a_mapping_scan_is_accepted_on_and_then_off(writers: Writers, publish: Publish) -> None:
    answers: list[object] = []

    def ask(key: str, state: ScanState) -> None:
        if state is ScanState.CREATED:
            answers.extend([writers.mapping.SaveScan(key), writers.mapping.scan_state(key)])
            answers.append(writers.mapping.SaveScan(key))

    (key,) = publish("ascan", writer="mapping", on_state=ask)
    wait_until(lambda: _saved(writers, 1))

    assert answers == [True, _STATE.ON, True]
    assert writers.mapping.scan_state(key) == _STATE.OFF
    assert writers.mapping.SaveScan(key) is True
    assert writers.saver.ScansSaved == 1
    assert writers.saver.ScansFailed == 0


def test_a_scan_of_any_writer_is_saved_once_and_shown_by_all_devices(
    writers: Writers, publish: Publish, tmp_path: Path
) -> None:
    for number, writer in enumerate(("nexus", "mapping", "external"), 1):
        publish("ascan", writer=writer, file=f"{writer}.h5")
        wait_until(lambda: _saved(writers, number))  # noqa: B023 - waited for within the loop

    for device in writers.all:
        assert device.ScansSaved == 3
        assert device.ScansFailed == 0
        assert device.LastFile == str(tmp_path / "external.h5")
    assert_saved_completely("ascan", tmp_path / "nexus.h5")
    assert_saved_completely("ascan", tmp_path / "external.h5")


def test_a_writer_with_settings_of_its_own_has_its_scans_to_itself(
    writers: Writers, publish: Publish
) -> None:
    writers.put(writers.nexus, workers="2")

    publish("ascan", writer="nexus", file="a.h5")
    publish("ascan", writer="external", file="b.h5")
    wait_until(lambda: writers.nexus.ScansSaved == 1 and writers.saver.ScansSaved == 1)

    assert writers.mapping.ScansSaved == 1  # it shares the saver of the first one
    for device in writers.all:
        assert device.ScansFailed == 0


def test_stop_and_start_of_one_device_hold_for_all(writers: Writers) -> None:
    writers.nexus.stop()
    writers.wait_for_state(_STATE.OFF)
    assert writers.mapping.SaveScan("esrf:scan:nothing") is False

    writers.mapping.Start()

    assert {device.state() for device in writers.all} == {_STATE.ON}


def test_a_device_that_is_removed_leaves_the_saver_to_the_others(
    writers: Writers, publish: Publish
) -> None:
    writers.put(writers.nexus, session="another")

    publish("ascan", writer="mapping")
    wait_until(lambda: writers.saver.ScansSaved == 1)

    assert writers.nexus.ScansSaved == 0
    assert writers.saver.state() == _STATE.ON


def test_an_alarm_does_not_keep_bliss_from_scanning(
    start_writers: StartWriters, publish: Publish, tmp_path: Path
) -> None:
    writers = start_writers(allowed_roots=str(tmp_path / "elsewhere"))

    publish("ascan", writer="nexus")
    wait_until(lambda: writers.saver.state() == _STATE.ALARM)

    assert writers.nexus.state() == writers.mapping.state() == _STATE.ON
    assert "outside the allowed roots" in writers.nexus.status()
    assert "\n" not in writers.nexus.status()


def test_while_stopping_bliss_is_refused(writers: Writers, publish: Publish) -> None:
    with ThreadPoolExecutor(1) as background:
        scan = HeldScan(publish, background, "ascan")
        wait_until(lambda: writers.saver.state() == _STATE.RUNNING)
        assert writers.nexus.state() == _STATE.RUNNING

        writers.nexus.stop()

        assert writers.saver.state() == _STATE.MOVING
        assert writers.nexus.state() == _STATE.OFF
        assert "Stopping" in writers.nexus.status()
        scan.let_go()


def test_a_scan_outside_the_allowed_roots_is_refused_while_it_is_created(
    start_writers: StartWriters, publish: Publish, tmp_path: Path
) -> None:
    writers = start_writers(allowed_roots=str(tmp_path / "elsewhere"))
    answers: list[object] = []

    def ask(key: str, state: ScanState) -> None:
        if state is ScanState.CREATED:
            name = "3_ascan"
            answers.append(writers.nexus.scan_exists(name))
            answers.append(writers.nexus.scan_has_write_permissions(name))
            answers.append(writers.nexus.scan_state(name))
            answers.append(writers.nexus.scan_state_reason(name).startswith("the target"))
            answers.append(key in writers.nexus.scan_state_reason(name))

    publish("ascan", number=3, writer="nexus", on_state=ask)

    assert answers == [True, False, _STATE.FAULT, True, False]


def test_a_disk_that_is_full_is_told_before_the_scan_starts(
    start_writers: StartWriters, publish: Publish
) -> None:
    writers = start_writers(disk_minimum="1e9", disk_warning="2e9")
    answers: list[object] = []

    def ask(key: str, state: ScanState) -> None:
        if state is ScanState.CREATED:
            answers.append(writers.nexus.scan_exists("3_ascan"))
            answers.append(writers.nexus.scan_has_write_permissions("3_ascan"))
            answers.append(writers.nexus.scan_has_required_disk_space("3_ascan"))
            answers.append("GB are free" in writers.nexus.scan_disk_space_error("3_ascan"))
            answers.append(writers.mapping.SaveScan(key))
            answers.append(writers.mapping.scan_state(key))
            answers.append("GB are free" in writers.mapping.scan_state_reason(key))

    publish("ascan", number=3, writer="nexus", on_state=ask)

    assert answers == [True, True, False, True, True, _STATE.FAULT, True]


def test_a_disk_that_fills_is_a_warning_with_a_number_of_its_own(
    start_writers: StartWriters, publish: Publish, background: ThreadPoolExecutor
) -> None:
    writers = start_writers(disk_warning="1e9")
    scan = HeldScan(publish, background, "ascan")
    wait_until(lambda: len(writers.saver.RunningScans) == 1)
    (name,) = writers.nexus.scan_names
    wait_until(lambda: "GB are free" in writers.nexus.scan_disk_space_warning(name))

    assert [writers.mapping.GetWarningCount(scan.key) for _ in range(3)] == [1, 1, 1]
    request = json.dumps({"scan_key": scan.key, "index": 0})
    assert "GB are free" in writers.mapping.GetWarning(request)
    scan.let_go()


def test_of_scans_with_one_name_the_newest_is_meant(
    start_writers: StartWriters, publish: Publish, tmp_path: Path
) -> None:
    writers = start_writers(allowed_roots=str(tmp_path / "good"))
    answers: list[object] = []

    def ask(_key: str, state: ScanState) -> None:
        if state is ScanState.CREATED:
            answers.append(writers.nexus.scan_exists("1_ascan"))
            answers.append(writers.nexus.scan_has_write_permissions("1_ascan"))

    publish("ascan", number=1, writer="nexus", file="bad/x.h5", on_state=ask)
    wait_until(lambda: writers.saver.ScansFailed == 1)
    publish("ascan", number=1, writer="nexus", file="good/x.h5", on_state=ask)
    wait_until(lambda: writers.saver.ScansSaved == 1)

    assert answers == [True, False, True, True]
    assert writers.nexus.scan_state("1_ascan") == _STATE.OFF
    assert list(writers.nexus.scan_states) == [_STATE.FAULT, _STATE.OFF]


def test_purged_scans_are_not_listed_any_more(writers: Writers, publish: Publish) -> None:
    publish("ascan", writer="nexus")
    wait_until(lambda: _saved(writers, 1))
    assert len(writers.nexus.scan_names) == 1

    writers.nexus.purge_scans()

    assert len(writers.nexus.scan_names or ()) == 0
    assert writers.saver.ScansSaved == 1


def test_saving_of_one_scan_can_be_ended_by_name(
    writers: Writers, publish: Publish, background: ThreadPoolExecutor
) -> None:
    scan = HeldScan(publish, background, "ascan")
    wait_until(lambda: len(writers.saver.RunningScans) == 1)
    (name,) = writers.nexus.scan_names

    writers.nexus.stop_scan(name)
    wait_until(lambda: not len(writers.saver.RunningScans))

    assert writers.nexus.scan_state(name) == _STATE.OFF
    scan.let_go()


def test_folders_are_made_below_the_allowed_roots_only(
    start_writers: StartWriters, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    writers = start_writers(allowed_roots=str(root))

    for _ in range(2):
        writers.nexus.makedirs(str(root / "a" / "b"))
    assert (root / "a" / "b").is_dir()

    (tmp_path / "link").symlink_to(tmp_path)
    (root / "file").touch()
    for path in (
        "relative/path",
        str(tmp_path / "outside"),
        f"{root}/../outside",
        str(root / "file"),
        str(root / "file" / "below"),
        str(tmp_path / "link" / "outside"),
    ):
        with pytest.raises(tango.DevFailed) as caught:
            writers.nexus.makedirs(path)
        assert caught.value.args[0].reason == "FILE_UNUSABLE", path
        assert "\n" not in caught.value.args[0].desc
    assert not (tmp_path / "outside").exists()


def test_log_levels_can_be_read_and_set(writers: Writers) -> None:
    for name in ("writer_log_level", "tango_log_level"):
        for level in (1, 4, 2):
            writers.nexus.write_attribute(name, level)
            assert writers.nexus.read_attribute(name).value == level


def test_every_list_of_scans_tells_of_the_same_scans(writers: Writers, publish: Publish) -> None:
    for number in (1, 2):
        publish("ascan", number=number, writer="nexus", file=f"{number}.h5")
    wait_until(lambda: _saved(writers, 2))

    names = sorted(writers.nexus.scan_names)
    assert names == ["1_ascan", "2_ascan"]
    for attribute in (
        "scan_states_info", "scan_urls", "scan_start", "scan_end",
        "scan_duration", "scan_progress", "scan_info",
    ):  # fmt: skip
        lines = writers.nexus.read_attribute(attribute).value
        assert sorted(line.partition(":")[0] for line in lines) == names, attribute


def test_a_session_without_a_name_is_a_fault_that_bliss_quotes(
    start_writers: StartWriters,
) -> None:
    writers = start_writers(session="")

    assert writers.nexus.state() == _STATE.FAULT
    assert "session" in writers.nexus.status()
    assert writers.nexus.scan_exists("1_ascan") is False
    assert writers.mapping.SaveScan("esrf:scan:nothing") is False
