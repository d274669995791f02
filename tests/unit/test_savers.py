from __future__ import annotations

import pytest

from tango_saver.control.savers import Savers
from tango_saver.errors import ConfigurationError
from tango_saver.model.status import SaverState


def test_device_that_returns_from_a_restart_finds_its_saver() -> None:
    refreshed: list[str] = []
    savers = Savers(lambda _name, _snapshot: None, refreshed.append)
    saver = savers.take("lab/saver/1")

    savers.leave("lab/saver/1")

    assert savers.take("lab/saver/1") is saver
    assert savers.take("lab/saver/2") is not saver
    savers.end_all()
    assert savers.take("lab/saver/1") is not saver


def test_refused_configuration_is_a_fault_that_start_repeats_and_stop_ignores() -> None:
    refreshed: list[str] = []
    saver = Savers(lambda _name, _snapshot: None, refreshed.append).take("lab/saver/1")

    saver.refuse("Property session is empty.", "/data/last.h5")

    assert refreshed == ["lab/saver/1"]
    assert saver.snapshot().status.state is SaverState.FAULT
    assert saver.snapshot().status.status == "Property session is empty."
    assert saver.snapshot().status.last_file == "/data/last.h5"
    with pytest.raises(ConfigurationError, match="session is empty"):
        saver.start()
    saver.stop()
    saver.reset()
