"""Metrics are the values of the attributes, in the units that Prometheus wants."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tango_saver.control.metrics import MEASURES, MetricsPorts
from tango_saver.control.shown import Snapshot
from tango_saver.control.side_work import with_troubles
from tango_saver.demo.redis_server import free_port
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus

STATUS = SaverStatus(
    SaverState.ALARM,
    "Look.",
    scans_saved=7,
    points_lost=3,
    data_rate=2.5,
    lag_s=0.25,
    disk_free_gb=12.0,
    worker_restarts=1,
)
SNAPSHOT = Snapshot(SaverSettings(session="demo"), STATUS)
DEVICE = "id00/tango_saver/demo"


@pytest.fixture
def ports() -> Iterator[MetricsPorts]:
    ports = MetricsPorts()
    yield ports
    ports.close()


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """(name, device, session, state) -> value, as Prometheus reads it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        tuple(
            filter(
                None,
                (sample.name, *map(sample.labels.get, ("device", "session", "state"))),
            )
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_values_are_those_of_the_snapshot_in_base_units(ports: MetricsPorts) -> None:
    port = free_port()

    assert ports.show(DEVICE, port, lambda: SNAPSHOT) == ""

    seen = scrape(port)
    labels = (DEVICE, "demo")
    assert seen["tango_saver_scans_saved_total", *labels] == 7
    assert seen["tango_saver_points_lost_total", *labels] == 3
    assert seen["tango_saver_scans_running", *labels] == 0
    assert seen["tango_saver_data_rate_bytes_per_second", *labels] == 2.5e6
    assert seen["tango_saver_lag_seconds", *labels] == 0.25
    assert seen["tango_saver_disk_free_bytes", *labels] == 12e9
    assert seen["tango_saver_worker_restarts_total", *labels] == 1
    assert {measure.full_name for measure in MEASURES} <= {name for name, *_ in seen}


def test_exactly_the_present_state_is_one(ports: MetricsPorts) -> None:
    port = free_port()
    ports.show(DEVICE, port, lambda: SNAPSHOT)

    states = {
        key[-1]: value for key, value in scrape(port).items() if key[0] == "tango_saver_state"
    }

    assert states == {state.value: float(state is SaverState.ALARM) for state in SaverState}


def test_devices_with_the_same_port_share_it(ports: MetricsPorts) -> None:
    port = free_port()
    ports.show("a/b/1", port, lambda: SNAPSHOT)
    ports.show("a/b/2", port, lambda: replace(SNAPSHOT, status=replace(STATUS, scans_saved=8)))

    seen = scrape(port)

    assert seen["tango_saver_scans_saved_total", "a/b/1", "demo"] == 7
    assert seen["tango_saver_scans_saved_total", "a/b/2", "demo"] == 8


def test_port_that_no_device_names_any_more_is_closed(ports: MetricsPorts) -> None:
    port, other = free_port(), free_port()
    ports.show(DEVICE, port, lambda: SNAPSHOT)

    ports.show(DEVICE, other, lambda: SNAPSHOT)

    assert scrape(other)
    with pytest.raises(urllib.error.URLError):
        scrape(port)


def test_port_that_is_taken_is_an_alarm_with_advice_and_no_exception(ports: MetricsPorts) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]

        trouble = ports.show(DEVICE, port, lambda: SNAPSHOT)

    assert trouble.startswith(f"metrics_port {port} cannot be opened: ")
    assert "Init" in trouble
    listening = SaverStatus(SaverState.ON, "Listening.")
    shown = with_troubles(listening, (trouble,))
    assert (shown.state, shown.alarms) == (SaverState.ALARM, (trouble,))
    assert trouble in shown.status
    assert with_troubles(replace(listening, state=SaverState.OFF), (trouble,)).state == "OFF"
