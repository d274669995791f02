"""Panels without a screen, on real devices. Without Taurus all of this is skipped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_PATIENCE_S = 50.0
"""Tango tells of a lost server after ten seconds, and finds it again after as many."""

WaitFor = Callable[[Callable[[], object]], None]
OpenPanel = Callable[[str], Any]


@pytest.fixture(scope="session")
def application() -> Any:
    """The one application of the process."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from taurus.qt.qtgui.application import TaurusApplication  # noqa: PLC0415 - may be absent

    return TaurusApplication(app_name="tango_saver_tests", cmd_line_parser=None)


@pytest.fixture
def wait_for(application: Any) -> WaitFor:
    """Lets the widgets live until a condition holds; fails after a while."""

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail("the widgets never showed it")
            application.processEvents()
            time.sleep(0.01)

    return wait


@pytest.fixture
def open_panel(application: Any) -> Iterator[OpenPanel]:
    """Opens a panel on a device, closed after the test."""
    from tango_saver.gui.panel import panel_window  # noqa: PLC0415 - may be absent

    panels: list[Any] = []

    def open_one(device: str) -> Any:
        panels.append(panel_window(device))
        panels[-1].show()
        return panels[-1]

    yield open_one
    for panel in panels:
        panel.setModel(None)
        panel.close()
    application.processEvents()
