"""A malformed scan costs that scan or that channel, says so, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from publishing import changed_recording, each_document
from saving import RunningSaver, StartSaver

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState, ScanReport
from tango_saver.model.scan import ScanState
from tango_saver.model.status import SaverState

DIODE = "simulation_diode_sampling_controller:diode"
N_POINTS = 11
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def save(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> Callable[..., ScanReport]:
    """Saves a changed ascan and then a good one, which must be saved whatever came before."""

    def run(
        change: Change,
        *,
        saver: RunningSaver | None = None,
        on_state: Callable[[str, ScanState], None] | None = None,
    ) -> ScanReport:
        saver = saver or start_saver()
        bad = changed_recording(recordings / "ascan.json.gz", tmp_path / "recording", change)
        (bad_key,) = replay(bad, redis_url, tmp_path / "bad", speed=0, on_state=on_state)
        (good_key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "good", speed=0)
        bad_report, good_report = saver.reports([bad_key, good_key])
        assert good_report.state is SavingState.SAVED
        assert {channel.on_disk for channel in good_report.channels} == {N_POINTS}
        assert saver.conductor.status().worker_restarts == 0
        return bad_report

    return run


def the_others_are_complete(report: ScanReport, channel: str) -> bool:
    others = [known for known in report.channels if known.name != channel]
    return bool(others) and all(known.on_disk == N_POINTS for known in others)


def test_an_unknown_dtype_costs_its_channel(save: Callable[..., ScanReport]) -> None:
    def change(scan: dict[str, Any]) -> None:
        def unknown(document: dict[str, Any]) -> None:
            if DIODE in document["data_streams"]:
                document["data_streams"][DIODE]["encoding"]["dtype_str"] = "quaternion256"

        each_document(scan, unknown)

    report = save(change)
    assert report.state is SavingState.FAILED
    assert DIODE in report.error
    assert "quaternion256" in report.error
    assert the_others_are_complete(report, DIODE)


def test_a_channel_without_stream_costs_itself(save: Callable[..., ScanReport]) -> None:
    def change(scan: dict[str, Any]) -> None:
        each_document(scan, lambda document: document["data_streams"].pop(DIODE, None))
        scan["entries"] = [entry for entry in scan["entries"] if entry[1] != DIODE]

    report = save(change)
    assert any(DIODE in warning for warning in report.warnings)
    assert the_others_are_complete(report, DIODE)


def test_a_stream_that_is_no_stream_costs_its_channel(
    save: Callable[..., ScanReport], redis_url: str
) -> None:
    def change(scan: dict[str, Any]) -> None:
        scan["entries"] = [entry for entry in scan["entries"] if entry[1] != DIODE]

    def put_a_list_there(key: str, state: ScanState) -> None:
        if state is ScanState.PREPARED:
            with redis.Redis.from_url(redis_url) as client:
                document = json.loads(client.execute_command("JSON.GET", key))
                stream = document["data_streams"][DIODE]["pk"]
                client.rpush(f"esrf:stream:{stream}", "not", "a", "stream")

    report = save(change, on_state=put_a_list_there)
    assert report.state is SavingState.FAILED
    assert f"{DIODE}: its key is no stream but a list" in report.error
    assert the_others_are_complete(report, DIODE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acquisition_chain", 5),
        ("channels", "none"),
        ("devices", [1, 2]),
        ("positioners", "everywhere"),
        ("title", {"a": 1}),
        ("npoints", "many"),
        ("data_writer", "nexus"),
    ],
)
def test_a_wrong_type_in_what_surrounds_the_data_costs_no_point(
    field: str, value: object, save: Callable[..., ScanReport]
) -> None:
    def change(scan: dict[str, Any]) -> None:
        each_document(scan, lambda document: document["info"].update({field: value}))

    report = save(change)
    assert report.state is SavingState.SAVED
    assert {channel.on_disk for channel in report.channels} == {N_POINTS}


def test_a_wrong_type_in_an_encoding_costs_its_channel(save: Callable[..., ScanReport]) -> None:
    def change(scan: dict[str, Any]) -> None:
        def wrong(document: dict[str, Any]) -> None:
            if DIODE in document["data_streams"]:
                document["data_streams"][DIODE]["encoding"] = {"type": ["numeric"], "shape": "no"}

        each_document(scan, wrong)

    report = save(change)
    assert report.state is SavingState.FAILED
    assert DIODE in report.error
    assert the_others_are_complete(report, DIODE)


def test_a_scan_that_does_not_say_what_it_is_raises_an_alarm_until_reset(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def change(scan: dict[str, Any]) -> None:
        each_document(scan, lambda document: document["id"].update(number="twelve"))

    saver = start_saver()
    bad = changed_recording(recordings / "ascan.json.gz", tmp_path / "recording", change)
    (bad_key,) = replay(bad, redis_url, tmp_path / "bad", speed=0)
    status = saver.wait_for(lambda status: status.state is SaverState.ALARM)
    assert bad_key in status.status
    (good_key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "good", speed=0)
    assert saver.reports([good_key])[0].state is SavingState.SAVED
    saver.conductor.reset()
    saver.wait_for(lambda status: status.state is SaverState.ON)


def test_a_scan_without_chain_is_saved_with_a_warning(save: Callable[..., ScanReport]) -> None:
    def change(scan: dict[str, Any]) -> None:
        each_document(scan, lambda document: document["info"].pop("acquisition_chain", None))

    report = save(change)
    assert report.state is SavingState.SAVED
    assert any("chain" in warning for warning in report.warnings)
    assert {channel.on_disk for channel in report.channels} == {N_POINTS}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("relative/data.h5", "not an absolute path"),
        ("{root}/../escaped.h5", '".."'),
        ("/proc/tango_saver/data.h5", "outside the allowed roots"),
        ("{root}/NUL\0.h5", "NUL"),
    ],
    ids=["relative", "dots", "outside", "nul"],
)
def test_a_path_that_must_not_be_written_costs_its_scan(
    path: str,
    reason: str,
    save: Callable[..., ScanReport],
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    target = path.format(root=tmp_path)

    def change(scan: dict[str, Any]) -> None:
        def elsewhere(document: dict[str, Any]) -> None:
            document["id"]["path"] = document["info"]["filename"] = target

        each_document(scan, elsewhere)

    report = save(change, saver=start_saver(allowed_roots=(str(tmp_path),)))
    assert report.state is SavingState.FAILED
    assert reason in report.error
    assert not (tmp_path.parent / "escaped.h5").exists()


@pytest.mark.slow
def test_a_scan_of_ten_thousand_channels_is_saved(save: Callable[..., ScanReport]) -> None:
    n_channels = 10_000

    def change(scan: dict[str, Any]) -> None:
        entries = {entry[2]: entry for entry in scan["entries"] if entry[1] == DIODE}
        first, seal = next(iter(entries.values())), list(entries.values())[-1]
        names = [f"many:{index}" for index in range(n_channels)]
        for item in scan["docs"]:
            streams = item["doc"]["data_streams"]
            if DIODE in streams:
                for index, name in enumerate(names):
                    streams[name] = copy.deepcopy(streams[DIODE]) | {"pk": f"MANY{index:06}END"}
        for name in names:
            scan["entries"] += [[first[0], name, *first[2:]], [seal[0], name, *seal[2:]]]
        assert json.dumps(scan)

    report = save(change)
    assert report.state is SavingState.SAVED
    many = [channel for channel in report.channels if channel.name.startswith("many:")]
    assert len(many) == n_channels
    assert all(channel.on_disk == channel.published for channel in many)
