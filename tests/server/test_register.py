"""Registration writes what is missing and touches nothing else."""

from __future__ import annotations

import pytest
import tango

from tango_saver.control.register import register
from tango_saver.demo.processes import TangoDatabase
from tango_saver.errors import ConfigurationError

pytestmark = pytest.mark.tango

_SERVER = "TangoSaver/register"


@pytest.fixture
def database(tango_database: TangoDatabase) -> tango.Database:
    """The Tango database."""
    return tango.Database("127.0.0.1", tango_database.port)


def test_device_is_registered_with_properties_class_and_alias(database: tango.Database) -> None:
    register(
        database,
        server_instance=_SERVER,
        device="register/saver/1",
        properties={"session": ["demo"], "allowed_roots": ["/a", "/b"]},
        alias="saver_one",
    )

    info = database.get_device_info("register/saver/1")
    assert (info.class_name, info.ds_full_name) == ("TangoSaver", _SERVER)
    found = database.get_device_property("register/saver/1", ["session", "allowed_roots"])
    assert {name: list(value) for name, value in found.items()} == {
        "session": ["demo"],
        "allowed_roots": ["/a", "/b"],
    }
    assert database.get_device_from_alias("saver_one") == "register/saver/1"
    assert list(database.get_class_property("TangoSaver", ["Description"])["Description"])


def test_repeated_registration_changes_only_what_differs(database: tango.Database) -> None:
    for session in ("one", "one", "two"):
        register(
            database,
            server_instance=_SERVER,
            device="register/saver/2",
            properties={"session": [session], "workers": ["2"]},
            alias="saver_two",
        )

    history = database.get_device_property_history("register/saver/2", "session")
    assert [list(entry.get_value()) for entry in history] == [["one"], ["two"]]
    assert len(database.get_device_property_history("register/saver/2", "workers")) == 1


def test_properties_that_are_not_named_stay(database: tango.Database) -> None:
    database.put_device_property("register/saver/3", {"workers": ["7"]})

    register(
        database, server_instance=_SERVER, device="register/saver/3", properties={"session": ["s"]}
    )

    assert list(database.get_device_property("register/saver/3", "workers")["workers"]) == ["7"]


@pytest.mark.parametrize("server", ["tango_saver/x", "TangoSaver", "TangoSaver/", "tangosaver/x"])
def test_server_name_must_be_that_of_the_executable(database: tango.Database, server: str) -> None:
    with pytest.raises(ConfigurationError, match="TangoSaver"):
        register(database, server_instance=server, device="register/saver/4", properties={})


def test_device_of_another_server_is_left_alone(database: tango.Database) -> None:
    register(database, server_instance=_SERVER, device="register/saver/5", properties={})

    with pytest.raises(ConfigurationError, match=_SERVER):
        register(
            database,
            server_instance="TangoSaver/other",
            device="register/saver/5",
            properties={"session": ["stolen"]},
        )

    assert not list(database.get_device_property("register/saver/5", "session")["session"])


def test_alias_of_another_device_is_left_alone(database: tango.Database) -> None:
    register(
        database, server_instance=_SERVER, device="register/saver/6", properties={}, alias="six"
    )

    with pytest.raises(ConfigurationError, match="register/saver/6"):
        register(
            database, server_instance=_SERVER, device="register/saver/7", properties={}, alias="six"
        )
