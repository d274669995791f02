"""No value of a property can end the server, and each wrong one is named."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence

import pytest
import tango
from devices import SaverDevice, StartDevice, Subscribe

from tango_saver.control.device import TangoSaver
from tango_saver.demo.redis_server import RedisServer, free_port

pytestmark = pytest.mark.tango

_WORKING = (tango.DevState.ON, tango.DevState.ALARM)


@pytest.fixture(scope="module")
def shared_device(redis_server: RedisServer, start_module_device: StartDevice) -> SaverDevice:
    """A device whose properties the tests of this module change."""
    return start_module_device(session="configuration", redis_url=redis_server.url)


@pytest.fixture
def device(shared_device: SaverDevice, redis_url: str) -> Iterator[SaverDevice]:
    """The device with good properties; whatever a test puts is taken back."""
    shared_device.put(session="configuration", redis_url=redis_url)
    shared_device.proxy.Init()
    shared_device.wait_for_state(tango.DevState.ON)
    yield shared_device
    keep = {"session", "redis_url", "state_directory"}
    names = [name for name in shared_device.proxy.get_property_list("*") if name not in keep]
    if names:
        shared_device.proxy.delete_property(names)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session", ""),
        ("session", "  "),
        ("redis_url", "ftp://localhost"),
        ("beacon_host", "no_port"),
        ("layout", "papyrus"),
        ("keepshape", "perhaps"),
        ("multivalue_positioners", "perhaps"),
        ("data_writers", []),
        ("allowed_roots", ["data"]),
        ("workers", "0"),
        ("workers", "four"),
        ("publisher_timeout", "-1"),
        ("publisher_timeout", "soon"),
        ("redis_timeout", "0"),
        ("flush_period", "nan"),
        ("disk_warning", "-1"),
        ("disk_minimum", "nan"),
        ("auto_start", "perhaps"),
        ("finish_timeout", "-1"),
        ("finish_timeout", "inf"),
        ("metrics_port", "-1"),
        ("metrics_port", "70000"),
        ("log_directory", "logs"),
    ],
)
def test_wrong_property_is_a_fault_that_names_it_and_init_recovers(
    device: SaverDevice, name: str, value: str | Sequence[str]
) -> None:
    if value in ("", []):
        # a Tango database keeps no empty value, a blank is the nearest to it
        value = " "
    good = device.proxy.get_property(name)[name]
    device.put(**{name: value})

    device.proxy.Init()

    assert device.proxy.state() is tango.DevState.FAULT
    assert name in device.proxy.status()
    assert "Init" in device.proxy.status()

    if list(good):
        device.put(**{name: list(good)})
    else:
        device.proxy.delete_property(name)
    device.proxy.Init()
    device.wait_for_state(*_WORKING)


def test_empty_session_is_explained(start_device: StartDevice, redis_url: str) -> None:
    device = start_device(redis_url=redis_url)

    assert device.proxy.state() is tango.DevState.FAULT
    assert device.proxy.status().startswith("Property session is empty")


def test_server_that_starts_with_a_wrong_typed_property_lives(
    start_device: StartDevice, redis_url: str, subscribe: Subscribe
) -> None:
    device = start_device(session="s", redis_url=redis_url, workers="four")
    events = subscribe(device, "Status")

    assert device.proxy.state() is tango.DevState.FAULT
    assert "workers" in device.proxy.status()
    device.put(workers="4.5")
    device.admin.RestartServer()
    events.wait_for(lambda seen: "4.5" in seen.of("Status")[-1])

    assert device.proxy.state() is tango.DevState.FAULT


def test_in_fault_every_attribute_can_be_read_and_subscribed(device: SaverDevice) -> None:
    device.put(workers="four")
    device.proxy.Init()
    names = [config.name for config in device.proxy.attribute_list_query()]

    events = device.events(*names)
    try:
        events.wait_for(lambda seen: all(seen.of(name) for name in names))
    finally:
        events.close()

    assert all(not reading.has_failed for reading in device.proxy.read_attributes(names))


def test_commands_in_fault_are_refused_with_the_reason(device: SaverDevice) -> None:
    device.put(workers="four")
    device.proxy.Init()

    for refused in (device.proxy.Start, lambda: device.proxy.SaveScan("key")):
        with pytest.raises(tango.DevFailed) as caught:
            refused()
        assert caught.value.args[0].reason == "CONFIGURATION_ERROR"
        assert "workers" in caught.value.args[0].desc
    device.proxy.Stop()
    device.proxy.Reset()

    assert device.proxy.state() is tango.DevState.FAULT


def test_fault_and_its_end_are_events(device: SaverDevice) -> None:
    events = device.events("State")
    try:
        device.put(workers="four")
        device.proxy.Init()
        events.wait_for(lambda seen: seen.of("State")[-1] is tango.DevState.FAULT)
        device.put(workers="4")
        device.proxy.Init()
        events.wait_for(lambda seen: seen.of("State")[-1] is tango.DevState.ON)
    finally:
        events.close()


def test_settings_in_effect_are_shown_without_password(device: SaverDevice, redis_url: str) -> None:
    with_password = redis_url.replace("redis://", "redis://:s3cret@")
    device.put(redis_url=with_password, workers="3", allowed_roots=["/data", "/scratch"])
    device.proxy.Init()

    settings = device.proxy.Settings.splitlines()

    assert "workers = 3" in settings
    assert "allowed_roots = /data, /scratch" in settings
    everything = [device.proxy.RedisUrl, device.proxy.Settings, device.proxy.status()]
    assert not [text for text in everything if "s3cret" in text]


def test_beacon_that_does_not_answer_is_a_fault_with_advice(device: SaverDevice) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    device.put(beacon_host=nobody)

    device.proxy.Init()
    device.wait_for_state(tango.DevState.FAULT)

    assert nobody in device.proxy.status()
    assert "beacon_host" in device.proxy.status()


def test_redis_is_found_as_soon_as_beacon_answers(device: SaverDevice, redis_url: str) -> None:
    port = free_port()
    device.put(beacon_host=f"127.0.0.1:{port}", redis_url="redis://127.0.0.1:1")
    device.proxy.Init()
    device.wait_for_state(tango.DevState.FAULT)

    with socket.create_server(("127.0.0.1", port)) as beacon:
        connection, _ = beacon.accept()
        with connection:
            _, length = struct.unpack("<ii", connection.recv(8, socket.MSG_WAITALL))
            key = connection.recv(length, socket.MSG_WAITALL).split(b"|")[0]
            address = redis_url.removeprefix("redis://").replace(":", "|").encode()
            answer = key + b"|" + address
            connection.sendall(struct.pack("<ii", 34, len(answer)) + answer)

            device.wait_for_state(tango.DevState.ON)

    assert redis_url in device.proxy.RedisUrl


def test_every_property_has_a_doc_and_the_default_of_the_settings(device: SaverDevice) -> None:
    flat = list(device.admin.QueryWizardDevProperty("TangoSaver"))
    triples = dict(zip(flat[0::3], zip(flat[1::3], flat[2::3], strict=True), strict=True))

    assert "workers" in triples
    assert "Init" in triples["session"][0]
    for name, (doc, default) in triples.items():
        assert doc, name
        assert default != "None", name
    assert not [
        name
        for name, (doc, _) in triples.items()
        if name in vars(TangoSaver) and "Takes effect at Init." not in doc
    ]
