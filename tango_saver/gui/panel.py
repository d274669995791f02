"""The panel of one device."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt
from taurus.qt.qtgui.base import TaurusBaseWidget
from taurus.qt.qtgui.button import TaurusCommandButton
from taurus.qt.qtgui.container import TaurusWidget
from taurus.qt.qtgui.display import QLed

from tango_saver.gui.feed import DeviceFeed
from tango_saver.gui.parts import Bars, Figures, Files, Plots
from tango_saver.gui.silx import silx_program, why_not
from tango_saver.gui.view import PANEL_ATTRIBUTES, PanelView, panel_view
from tango_saver.gui.viewer import Viewer

_COMMANDS = ("Start", "Stop", "Reset", "Init")
_TIPS = {
    "Start": "Listen for scans",
    "Stop": "Take no new scan and finish the running ones",
    "Reset": "Acknowledge errors and warnings",
    "Init": "Read the properties again",
}
_LED_PIXELS = 36


class SaverPanel(TaurusWidget):
    """State, commands, running scans, last files, rate and lag of a saver.

    ``setModel`` takes the name of the device. All that is shown comes by its events.
    """

    def __init__(self, parent: Any = None, designMode: bool = False) -> None:  # noqa: N803 - Taurus
        super().__init__(parent, designMode)
        self.view: PanelView = panel_view({})
        self.feed = DeviceFeed(PANEL_ATTRIBUTES, self)
        self.silx = silx_program()
        """Path of the program; empty if it is not installed."""
        self._make_parts()
        self._arrange()
        self.feed.changed.connect(self.refresh)
        self.feed.arrived.connect(self.plots.add)
        self.files.chosen.connect(self._offer)
        self.files.opened.connect(self.open_file)
        self.open_button.clicked.connect(lambda: self.open_file(self.files.file()))
        self.refresh()

    def setModel(self, model: str | None, **options: Any) -> None:  # noqa: N802 - Taurus
        """Show this device; None or an empty name for none."""
        TaurusBaseWidget.setModel(self, model, **options)
        device = self.getModelObj()
        self.plots.forget()
        name = "" if device is None else device.getFullName()
        self.feed.follow(name)
        self.device_label.setText("" if device is None else device.getSimpleName())
        for button in self.buttons.values():
            button.setModel(name)
        self.refresh()

    def refresh(self) -> None:
        """Show what the events brought."""
        view = self.view = panel_view(self.feed.values, self.feed.trouble)
        colour, is_lit = view.led
        self.led.setLedColor(colour)
        self.led.setLedStatus(is_lit)
        self.state_label.setText(view.state)
        self.session_label.setText(view.session)
        self.status_label.setText(view.status)
        self.status_label.setStyleSheet(
            f"background: {view.tint}; color: #222; padding: 6px; border-radius: 4px;"
        )
        self.figures.show_figures(view.figures)
        self.bars.show_bars(view.bars)
        self.files.show_files(view.files)
        self.warnings_label.setText("\n".join(view.warnings))
        self.warnings_box.setVisible(bool(view.warnings))
        for name, button in self.buttons.items():
            button.setEnabled(name in view.commands)
        if not view.is_connected:
            self.plots.interrupt()

    def open_file(self, file: str) -> None:
        """Open a file in silx, unless there is a reason not to; silx ends with the panel."""
        reason = why_not(self.silx, file)
        self._show_reason(reason)
        if reason:
            return
        viewer = Viewer(self)
        viewer.failed.connect(self.reason_label.setText)
        viewer.view(self.silx, file)

    def _offer(self, file: str) -> None:
        self._show_reason(why_not(self.silx, file))

    def _show_reason(self, reason: str) -> None:
        self.open_button.setEnabled(not reason)
        self.open_button.setToolTip(reason or "Open the chosen file; or double-click it")
        self.reason_label.setText(reason)

    def _make_parts(self) -> None:
        self.led = QLed(self)
        self.led.setFixedSize(_LED_PIXELS, _LED_PIXELS)
        self.state_label = Qt.QLabel(self)
        self.state_label.setStyleSheet("font-size: 16pt; font-weight: 600;")
        self.device_label, self.session_label = Qt.QLabel(self), Qt.QLabel(self)
        self.session_label.setStyleSheet("color: #666;")
        self.status_label, self.warnings_label = _text(self), _text(self)
        self.buttons = {name: self._button(name) for name in _COMMANDS}
        self.figures, self.bars, self.files = Figures(self), Bars(self), Files(self)
        self.plots = Plots(self)
        self.open_button = Qt.QPushButton("Open in silx", self)
        self.reason_label = Qt.QLabel(self)
        self.reason_label.setStyleSheet("color: #888;")
        self._show_reason(why_not(self.silx, ""))

    def _button(self, command: str) -> Any:
        button = TaurusCommandButton(parent=self, command=command, text=command)
        button.setToolTip(_TIPS[command])
        return button

    def _arrange(self) -> None:
        names = Qt.QVBoxLayout()
        names.setSpacing(0)
        names.addWidget(self.device_label)
        names.addWidget(self.session_label)
        top = Qt.QHBoxLayout()
        for widget in (self.led, self.state_label):
            top.addWidget(widget)
        top.addSpacing(20)
        top.addLayout(names)
        top.addStretch(1)
        for button in self.buttons.values():
            top.addWidget(button)
        middle = Qt.QHBoxLayout()
        middle.addWidget(_box("Running scans", self.bars), 1)
        middle.addWidget(_box("Rate and lag", self.plots), 1)
        opening = Qt.QHBoxLayout()
        opening.addWidget(self.reason_label)
        opening.addStretch(1)
        opening.addWidget(self.open_button)
        files_box = _box("Last files", self.files)
        files_box.layout().addLayout(opening)
        self.warnings_box = _box("Warnings", self.warnings_label)
        whole = Qt.QVBoxLayout(self)
        whole.addLayout(top)
        whole.addWidget(self.status_label)
        whole.addWidget(self.figures)
        whole.addLayout(middle, 1)
        whole.addWidget(self.warnings_box)
        whole.addWidget(files_box, 1)
        self.resize(900, 680)


def panel_window(device: str) -> SaverPanel:
    """A panel that stands alone."""
    panel = SaverPanel()
    panel.setWindowTitle(f"{device} - tango_saver")
    panel.setModel(device)
    return panel


def _text(parent: Any) -> Any:
    """Text of several lines, to be read and copied."""
    label = Qt.QLabel(parent)
    label.setWordWrap(True)
    label.setTextFormat(Qt.Qt.PlainText)
    label.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse)
    return label


def _box(title: str, widget: Any) -> Any:
    box = Qt.QGroupBox(title)
    layout = Qt.QVBoxLayout(box)
    layout.setContentsMargins(6, 4, 6, 6)
    layout.addWidget(widget)
    return box
