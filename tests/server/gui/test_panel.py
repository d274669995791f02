"""The Taurus panel on a real device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from devices import SESSION, HeldScan, Publish, SaverDevice, StartDevice

from tango_saver.gui.view import PANEL_ATTRIBUTES

from .conftest import OpenPanel, WaitFor

pytest.importorskip("taurus", reason="needs pip install 'tango-saver[taurus]'")
pytestmark = [pytest.mark.tango, pytest.mark.taurus]


def _polled(panel: Any) -> list[str]:
    return [name for name, each in panel.feed.attributes.items() if each.isPollingActive()]


def _is_complete(panel: Any) -> bool:
    return set(panel.feed.values) == set(PANEL_ATTRIBUTES)


def test_panel_shows_the_device_by_its_events_alone(
    saver_device: SaverDevice, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    panel = open_panel(saver_device.server.device)

    wait_for(lambda: _is_complete(panel) and panel.state_label.text() == "ON")

    assert _polled(panel) == []
    assert panel.status_label.text() == saver_device.proxy.status()
    assert SESSION in panel.session_label.text()
    assert panel.device_label.text() == saver_device.name
    assert str(panel.led.ledColor).lower() == "green"
    assert not panel.buttons["Start"].isEnabled()
    assert panel.buttons["Stop"].isEnabled()
    assert not panel.warnings_box.isVisible()


def test_running_scan_has_a_bar_and_its_file_is_offered_afterwards(
    saver_device: SaverDevice,
    held_scan: HeldScan,
    open_panel: OpenPanel,
    wait_for: WaitFor,
    tmp_path: Path,
) -> None:
    panel = open_panel(saver_device.server.device)
    wait_for(lambda: panel.state_label.text() == "RUNNING" and panel.bars.shown())

    (bar,) = panel.bars.shown()
    assert bar[0] == saver_device.proxy.CurrentScan
    assert panel.files.file() == ""
    held_scan.let_go()
    wait_for(lambda: panel.files.file() and not panel.bars.shown())

    assert panel.files.file() == saver_device.proxy.LastFile
    assert Path(panel.files.file()).is_relative_to(tmp_path)
    wait_for(lambda: panel.state_label.text() == "ON")
    assert max(panel.plots.trends["DataRate"].series()[1]) > 0.0
    wait_for(lambda: len(panel.plots.trends["Lag"].series()[0]) > 1)


def test_buttons_command_the_device(
    saver_device: SaverDevice, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    panel = open_panel(saver_device.server.device)
    wait_for(panel.buttons["Stop"].isEnabled)

    panel.buttons["Stop"].click()
    wait_for(lambda: panel.state_label.text() == "OFF")
    assert str(saver_device.proxy.state()) == "OFF"
    assert not panel.buttons["Stop"].isEnabled()
    panel.buttons["Start"].click()
    wait_for(lambda: panel.state_label.text() == "ON")


def test_lost_points_raise_an_alarm_that_reset_ends(
    saver_device: SaverDevice, publish: Publish, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    panel = open_panel(saver_device.server.device)
    publish("long_flat", trim=20_000)

    wait_for(lambda: panel.state_label.text() == "ALARM" and "lost" in panel.status_label.text())
    assert str(panel.led.ledColor).lower() == "orange"
    wait_for(lambda: saver_device.proxy.ScansSaved == 1)
    panel.buttons["Reset"].click()
    wait_for(lambda: panel.state_label.text() == "ON")


def test_wrong_property_is_a_fault_that_init_ends(
    saver_device: SaverDevice, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    panel = open_panel(saver_device.server.device)
    wait_for(panel.buttons["Init"].isEnabled)

    saver_device.put(workers="many")
    panel.buttons["Init"].click()
    wait_for(lambda: panel.state_label.text() == "FAULT")
    assert "workers" in panel.status_label.text()
    assert str(panel.led.ledColor).lower() == "red"
    saver_device.put(workers="2")
    panel.buttons["Init"].click()
    wait_for(lambda: panel.state_label.text() == "ON")


def test_panel_survives_the_end_of_the_server_and_finds_it_again(
    saver_device: SaverDevice, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    panel = open_panel(saver_device.server.device)
    wait_for(lambda: _is_complete(panel) and panel.state_label.text() == "ON")

    saver_device.server.stop()
    wait_for(lambda: panel.state_label.text() == "UNKNOWN")
    assert "No contact" in panel.status_label.text()
    assert not any(button.isEnabled() for button in panel.buttons.values())
    saver_device.server.start()
    wait_for(lambda: panel.state_label.text() == "ON" and not panel.feed.trouble)

    saver_device.proxy.Stop()
    wait_for(lambda: panel.state_label.text() == "OFF" and not _polled(panel))


def test_panel_may_be_opened_before_the_server_runs(
    start_device: StartDevice, redis_url: str, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    device = start_device(session=SESSION, redis_url=redis_url)
    device.server.stop()
    panel = open_panel(device.server.device)
    wait_for(lambda: "No contact" in panel.status_label.text())

    device.server.start()

    wait_for(lambda: _is_complete(panel) and panel.state_label.text() == "ON")


def test_a_server_that_lacks_an_attribute_is_in_contact_all_the_same(
    application: Any, saver_device: SaverDevice, wait_for: WaitFor
) -> None:
    from tango_saver.gui.feed import DeviceFeed  # noqa: PLC0415 - may be absent

    feed = DeviceFeed(("NoSuchAttribute", "State"))
    feed.follow(saver_device.server.device)
    wait_for(lambda: set(feed._troubles) == {"NoSuchAttribute"} and "State" in feed.values)

    assert feed.trouble == ""
    feed.follow("")
    application.processEvents()


def test_refused_command_is_told_in_a_window(
    application: Any, saver_device: SaverDevice, open_panel: OpenPanel, wait_for: WaitFor
) -> None:
    from taurus.external.qt import Qt  # noqa: PLC0415 - may be absent

    panel = open_panel(saver_device.server.device)
    saver_device.put(workers="many")
    saver_device.proxy.Init()
    wait_for(lambda: panel.state_label.text() == "FAULT")
    told: list[str] = []

    def read_and_close() -> None:
        window = application.activeModalWidget()
        if window is not None:
            told.extend(label.text() for label in window.findChildren(Qt.QLabel))
            window.close()
            timer.stop()

    timer = Qt.QTimer()
    timer.timeout.connect(read_and_close)
    timer.start(50)
    panel.buttons["Start"].click()

    wait_for(lambda: told)
    assert "workers" in " ".join(told)


def test_file_is_opened_in_silx_by_button_and_by_double_click(
    saver_device: SaverDevice,
    publish: Publish,
    open_panel: OpenPanel,
    wait_for: WaitFor,
    tmp_path: Path,
) -> None:
    opened = tmp_path / "opened"
    program = tmp_path / "silx"
    program.write_text(f'#!/bin/sh\necho "$@" >> {opened}\n')
    program.chmod(0o755)
    panel = open_panel(saver_device.server.device)
    panel.silx = str(program)
    publish("ascan", file="step.h5")
    wait_for(panel.files.file)
    file = panel.files.file()

    assert panel.open_button.isEnabled()
    panel.open_button.click()
    wait_for(lambda: opened.exists() and opened.read_text() == f"view {file}\n")
    panel.files.itemDoubleClicked.emit(panel.files.currentItem(), 0)
    wait_for(lambda: opened.read_text() == f"view {file}\n" * 2)

    program.write_text("#!/bin/sh\necho 'no module Qt' >&2\nexit 1\n")
    panel.open_button.click()
    wait_for(lambda: "no module Qt" in panel.reason_label.text())
    assert panel.open_button.isEnabled()

    program.chmod(0o644)
    panel.open_button.click()
    wait_for(lambda: panel.reason_label.text() not in ("", "silx has failed: no module Qt"))

    panel.silx = ""
    panel.files.chosen.emit(file)
    assert not panel.open_button.isEnabled()
    assert "not installed" in panel.reason_label.text()


def _taurus(*arguments: str) -> str:
    program = str(Path(sys.executable).parent / "taurus")
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def test_command_line_and_form_of_taurus_know_the_panel() -> None:
    assert "  saver " in _taurus("--help")
    assert "[*] tango_saver" in _taurus("form", "--ls-fact")


def test_panel_can_be_part_of_a_taurus_gui(
    application: Any, saver_device: SaverDevice, wait_for: WaitFor
) -> None:
    from taurus.qt.qtgui.taurusgui.utils import PanelDescription  # noqa: PLC0415 - may be absent

    guide = Path(__file__).parents[3] / "resources" / "docs" / "taurus.md"
    example = guide.read_text().split("GUI_NAME")[1].split("```")[0].partition("saver = ")[2]
    code = example.replace("id00/tango_saver/my_session", saver_device.server.device)
    panel = eval(code, {"PanelDescription": PanelDescription}).getWidget()  # noqa: S307 - our text

    wait_for(lambda: panel.state_label.text() == "ON")

    panel.setModel(None)
    application.processEvents()


def test_a_device_that_nobody_has_registered_is_told_in_a_line(saver_device: SaverDevice) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "taurus"), "saver", f"{saver_device.name}_no"],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert f"{saver_device.name}_no is not in the Tango database" in done.stderr
    assert "HW object" not in done.stderr + done.stdout
