"""What Taurus's own form and device panel show of a saver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from devices import HeldScan, SaverDevice

from .conftest import WaitFor

taurus = pytest.importorskip("taurus", reason="needs pip install 'tango-saver[taurus]'")
pytestmark = [pytest.mark.tango, pytest.mark.taurus]

_NOTHING = "-----"


def _attributes(device: SaverDevice) -> list[str]:
    return [config.name for config in device.proxy.attribute_list_query()]


@pytest.fixture
def form(application: Any, saver_device: SaverDevice) -> Iterator[Any]:
    """A form with the device and all its attributes."""
    from taurus.qt.qtgui.panel import TaurusForm  # noqa: PLC0415 - may be absent

    name = saver_device.server.device
    form = TaurusForm()
    form.setItemFactories()
    form.setModel([name, *(f"{name}/{each}" for each in _attributes(saver_device))])
    form.show()
    yield form
    form.setModel([])
    form.close()
    application.processEvents()


def _text(item: Any) -> str:
    text = getattr(item.readWidget(), "text", None)
    return str(text()) if text is not None else ""


def test_form_shows_labels_units_and_values_by_events(
    saver_device: SaverDevice, held_scan: HeldScan, form: Any, wait_for: WaitFor
) -> None:
    names = _attributes(saver_device)
    rows = dict(zip(names, form.getItems()[1:], strict=True))
    wait_for(lambda: _text(rows["CurrentScan"]) == saver_device.proxy.CurrentScan)
    wait_for(lambda: not [name for name, row in rows.items() if _NOTHING in _text(row)])

    configs = {config.name: config for config in saver_device.proxy.attribute_list_query()}
    for name, row in rows.items():
        assert row.labelWidget().text() == configs[name].label, name
        assert not taurus.Attribute(f"{saver_device.server.device}/{name}").isPollingActive(), name
    units = {name: rows[name].unitsWidget().text() for name in ("DataRate", "Lag", "DiskFree")}
    assert units == {"DataRate": "MB / s", "Lag": "s", "DiskFree": "GB"}
    assert _text(rows["ScansSaved"]) == "0"
    held_scan.let_go()
    wait_for(lambda: _text(rows["ScansSaved"]) == "1")
    wait_for(lambda: _text(rows["LastFile"]).endswith(".h5"))


def test_form_shows_the_device_in_one_line_with_a_button_for_the_panel(
    saver_device: SaverDevice, held_scan: HeldScan, form: Any, wait_for: WaitFor
) -> None:
    row = form.getItems()[0].readWidget()
    name = saver_device.proxy.CurrentScan
    wait_for(lambda: row.label.text().startswith("RUNNING") and name in row.label.text())
    assert held_scan.key

    row.button.click()

    wait_for(lambda: row.panel is not None and row.panel.state_label.text() == "RUNNING")
    row.panel.setModel(None)
    row.panel.close()


def test_device_panel_of_taurus_shows_the_device(
    application: Any, saver_device: SaverDevice, wait_for: WaitFor
) -> None:
    from taurus.qt.qtgui.panel import TaurusDevicePanel  # noqa: PLC0415 - may be absent

    panel = TaurusDevicePanel()
    panel.setModel(saver_device.server.device)
    panel.show()
    wait_for(lambda: panel._attrs is not None)
    rows = panel._attrs.getItems()

    wait_for(lambda: rows and not [row for row in rows if _NOTHING in _text(row)])
    labels = {row.labelWidget().text() for row in rows}
    assert {"Current scan", "Last file", "Data rate", "Free disk space"} <= labels
    panel.setModel("")
    panel.close()
    application.processEvents()
