"""What ``taurus form`` shows for a saver: its state and what it does, in one row."""

from __future__ import annotations

from typing import Any

import tango
from taurus.external.qt import Qt
from taurus.qt.qtgui.base import TaurusBaseWidget
from taurus.qt.qtgui.container import TaurusWidget
from taurus.qt.qtgui.display import QLed
from taurus.qt.qtgui.panel import TaurusValue

from tango_saver.control.register import DESCRIPTIONS
from tango_saver.gui.feed import DeviceFeed
from tango_saver.gui.panel import SaverPanel, panel_window
from tango_saver.gui.view import PANEL_ATTRIBUTES, panel_view, summary


class SaverSummary(TaurusWidget):
    """A saver in one line; a click on the button opens its panel."""

    def __init__(self, parent: Any = None, designMode: bool = False) -> None:  # noqa: N803 - Taurus
        super().__init__(parent, designMode)
        self.feed = DeviceFeed(PANEL_ATTRIBUTES, self)
        self.led, self.label = QLed(self), Qt.QLabel(self)
        self.button = Qt.QPushButton("Panel", self)
        self.panel: SaverPanel | None = None
        row = Qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.led)
        row.addWidget(self.label, 1)
        row.addWidget(self.button)
        self.feed.changed.connect(self.refresh)
        self.button.clicked.connect(self.open_panel)

    def setModel(self, model: Any, **options: Any) -> None:  # noqa: N802 - Taurus
        """Show this device; None or an empty name for none."""
        TaurusBaseWidget.setModel(self, model, **options)
        device = self.getModelObj()
        self.feed.follow("" if device is None else device.getFullName())

    def refresh(self) -> None:
        """Show what the events brought."""
        colour, is_lit = panel_view(self.feed.values, self.feed.trouble).led
        self.led.setLedColor(colour)
        self.led.setLedStatus(is_lit)
        self.label.setText(summary(self.feed.values, self.feed.trouble))

    def open_panel(self) -> None:
        """Show the panel in a window of its own."""
        if self.panel is None:
            self.panel = panel_window(self.getModelName())
        self.panel.show()
        self.panel.raise_()


def item_factory(model: Any) -> TaurusValue | None:
    """The row of a saver in a form; None for all else, which Taurus shows as ever."""
    proxy = getattr(model, "getDeviceProxy", lambda: None)()
    if proxy is None:
        return None
    try:
        device_class = proxy.info().dev_class
    except tango.DevFailed:
        return None  # it is not running
    if device_class not in DESCRIPTIONS:
        return None
    value = TaurusValue()
    value.setReadWidgetClass(SaverSummary)
    return value
