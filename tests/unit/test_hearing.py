"""Whether scans are heard of, as Start, Stop and Redis have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.hearing import Hearing
from tango_saver.engine.listener import Deaf, Heard, Listener, Silent
from tango_saver.errors import ProtocolVersionError, RedisUnreachableError
from tango_saver.model.settings import SaverSettings

SETTINGS = SaverSettings(redis_url="redis://127.0.0.1:1", bliss="2")
"""Nobody answers there."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener(SETTINGS, lambda _: None)
    yield made
    made.stop(for_good=True)


@pytest.fixture
def later_listener() -> Iterator[Listener]:
    made = Listener(SETTINGS, lambda _: None)
    yield made
    made.stop(for_good=True)


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def hearing(alarms: Alarms) -> Hearing:
    return Hearing(SETTINGS, alarms)


def test_it_is_silent_once_every_listener_was_drained(
    hearing: Hearing, listener: Listener, later_listener: Listener
) -> None:
    assert hearing.silent
    hearing.begins(listener)
    assert (hearing.listening, hearing.draining, hearing.silent) == (True, False, False)
    hearing.begins(later_listener)
    assert (hearing.listening, hearing.draining) == (True, True)
    hearing.ends()
    hearing.drained(Silent(listener))
    assert (hearing.listening, hearing.draining, hearing.silent) == (False, True, False)
    hearing.drained(Silent(later_listener))
    assert hearing.silent


def test_a_redis_that_is_away_is_an_alarm_until_it_answers(
    hearing: Hearing, alarms: Alarms, listener: Listener
) -> None:
    hearing.begins(listener)
    hearing.is_deaf(Deaf(listener, RedisUnreachableError("nobody there")))
    (sentence,) = alarms.sentences()
    assert "does not answer since" in sentence
    assert (hearing.fault, alarms.last_error) == ("", "nobody there")
    hearing.hears(Heard(listener, (), "1-0", ()))
    assert alarms.sentences() == ()
    assert alarms.last_error == "nobody there"
    alarms.reset()
    assert alarms.last_error == ""


def test_a_redis_of_another_kind_is_a_fault_and_no_alarm(
    hearing: Hearing, alarms: Alarms, listener: Listener
) -> None:
    hearing.begins(listener)
    hearing.is_deaf(Deaf(listener, RedisUnreachableError("nobody there")))
    hearing.is_deaf(Deaf(listener, ProtocolVersionError("version 9")))
    assert "version 9" in hearing.fault
    assert alarms.sentences() == ()
    hearing.ends()
    assert hearing.fault == ""


def test_a_listener_that_is_not_the_present_one_says_nothing_of_redis(
    hearing: Hearing, alarms: Alarms, listener: Listener, later_listener: Listener
) -> None:
    hearing.begins(listener)
    hearing.begins(later_listener)
    hearing.is_deaf(Deaf(listener, RedisUnreachableError("nobody there")))
    assert (alarms.sentences(), alarms.last_error) == ((), "")
    hearing.is_deaf(Deaf(later_listener, RedisUnreachableError("nobody there")))
    hearing.hears(Heard(listener, (), "1-0", ()))
    assert len(alarms.sentences()) == 1
