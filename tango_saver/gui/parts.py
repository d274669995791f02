"""The parts of the panel, each of which shows one part of the view."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import pyqtgraph
from taurus.external.qt import Qt

from tango_saver.gui.finished import FinishedScan
from tango_saver.gui.trend import Trend
from tango_saver.gui.view import Figure, ScanBar

_BAD = "#c0392b"
_RATE, _LAG = "#1f6fb2", "#c0672b"
_AXIS_WIDTH = 44
_TICK_POINTS = 8
_COLUMNS = ("scan", "outcome", "file", "folder", "notes")
_FOLDER_COLUMN, _NOTE_COLUMN = 3, 4
_NOTE_WIDTH = 260
_FILE_ROLE = Qt.Qt.UserRole


class Figures(Qt.QWidget):
    """Numbers with their names, side by side."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._row = Qt.QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._labels: list[Any] = []

    def show_figures(self, figures: tuple[Figure, ...]) -> None:
        """Show these, always the same number of them."""
        while len(self._labels) < len(figures):
            self._labels.append(Qt.QLabel(self))
            self._row.addWidget(self._labels[-1], 1)
        for label, figure in zip(self._labels, figures, strict=True):
            colour = f"color: {_BAD};" if figure.is_bad else ""
            label.setText(
                f'<span style="color: #666;">{figure.name}</span><br>'
                f'<span style="font-size: 13pt; font-weight: 600; {colour}">{figure.text}</span>'
            )

    def text(self) -> str:
        """All that is shown."""
        return "\n".join(label.text() for label in self._labels)


class Bars(Qt.QScrollArea):
    """A progress bar for each running scan."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(Qt.QFrame.NoFrame)
        inner = Qt.QWidget()
        self._grid = Qt.QGridLayout(inner)
        self._grid.setColumnStretch(1, 1)
        self._none = Qt.QLabel("No scan is running")
        self._none.setStyleSheet("color: #888;")
        self._grid.addWidget(self._none, 0, 0, 1, 3)
        self._rows: list[tuple[Any, Any, Any]] = []
        self.setWidget(inner)

    def show_bars(self, bars: tuple[ScanBar, ...]) -> None:
        """Show these, oldest first."""
        while len(self._rows) < len(bars):
            self._add_row()
        self._none.setVisible(not bars)
        for index, row in enumerate(self._rows):
            for widget in row:
                widget.setVisible(index < len(bars))
            if index < len(bars):
                _show_bar(row, bars[index])

    def shown(self) -> list[tuple[str, str]]:
        """Scan and text of each visible bar."""
        return [(name.text(), text.text()) for name, _, text in self._rows if not name.isHidden()]

    def _add_row(self) -> None:
        row = (Qt.QLabel(), Qt.QProgressBar(), Qt.QLabel())
        number = len(self._rows) + 1
        for column, widget in enumerate(row):
            self._grid.addWidget(widget, number, column)
        row[1].setTextVisible(False)
        row[2].setAlignment(Qt.Qt.AlignRight | Qt.Qt.AlignVCenter)
        self._grid.setRowStretch(number, 0)
        self._grid.setRowStretch(number + 1, 1)
        self._rows.append(row)


def _show_bar(row: tuple[Any, Any, Any], shown: ScanBar) -> None:
    name, bar, text = row
    name.setText(shown.scan)
    text.setText(shown.text)
    # a range of nothing is Qt's bar without an end
    bar.setRange(0, 0 if shown.percent is None else 1000)
    bar.setValue(round(10 * (shown.percent or 0.0)))


class Files(Qt.QTreeWidget):
    """The finished scans with their files."""

    chosen = Qt.pyqtSignal(str)
    """File of the row that is chosen now; empty if none is."""
    opened = Qt.pyqtSignal(str)
    """File of the row that was double-clicked."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setRootIsDecorated(False)
        self.setAlternatingRowColors(True)
        self.setHeaderLabels(_COLUMNS)
        self.header().setStretchLastSection(False)
        self.header().setSectionResizeMode(_FOLDER_COLUMN, Qt.QHeaderView.Stretch)
        self.setColumnWidth(_NOTE_COLUMN, _NOTE_WIDTH)
        self._shown: tuple[FinishedScan, ...] = ()
        self.currentItemChanged.connect(lambda item, _: self.chosen.emit(_file_of(item)))
        self.itemDoubleClicked.connect(lambda item, _: self.opened.emit(_file_of(item)))

    def show_files(self, files: tuple[FinishedScan, ...]) -> None:
        """Show these, newest first; the newest is chosen unless another was."""
        if files == self._shown:
            return
        before = self.file() if self.currentItem() is not self.topLevelItem(0) else ""
        self._shown = files
        self.clear()
        self.addTopLevelItems([_row(scan) for scan in files])
        for column in range(_FOLDER_COLUMN):
            self.resizeColumnToContents(column)
        self.setColumnHidden(_NOTE_COLUMN, not any(scan.note for scan in files))
        rows = [self.topLevelItem(index) for index in range(len(files))]
        again = [row for row in rows if before and _file_of(row) == before]
        if rows:
            self.setCurrentItem((again or rows)[0])

    def file(self) -> str:
        """File of the row that is chosen; empty if none is."""
        return _file_of(self.currentItem())


def _file_of(item: Any) -> str:
    return "" if item is None else str(item.data(0, _FILE_ROLE))


def _row(scan: FinishedScan) -> Any:
    path = PurePath(scan.file)
    texts = [scan.scan, scan.outcome, path.name, str(path.parent), scan.note]
    item = Qt.QTreeWidgetItem(texts)
    item.setData(0, _FILE_ROLE, scan.file)
    for column, text in enumerate(texts):
        item.setToolTip(column, text)
    if not scan.is_complete:
        for column in (1, _NOTE_COLUMN):
            item.setForeground(column, Qt.QBrush(Qt.QColor(_BAD)))
    return item


class Plots(pyqtgraph.GraphicsLayoutWidget):
    """Rate and lag over time, one below the other."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setBackground(None)
        self.trends = {"DataRate": Trend(), "Lag": Trend()}
        """By attribute."""
        rate, rate_line = _plot(self, 0, "rate", "MB/s", _RATE)
        lag, lag_line = _plot(self, 1, "lag", "s", _LAG)
        lag.setXLink(rate)
        rate.getAxis("bottom").setStyle(showValues=False)
        self._lines = {"DataRate": rate_line, "Lag": lag_line}

    def add(self, attribute: str, value: object, time_s: float) -> None:
        """Show another value; other attributes are not shown here."""
        if attribute in self.trends and isinstance(value, int | float):
            self.trends[attribute].add(time_s, float(value))
            self._draw(attribute)

    def interrupt(self) -> None:
        """Nothing is known until the next value."""
        for attribute, trend in self.trends.items():
            trend.interrupt()
            self._draw(attribute)

    def forget(self) -> None:
        """Begin anew, with another device."""
        for attribute in self.trends:
            self.trends[attribute] = Trend()
            self._draw(attribute)

    def _draw(self, attribute: str) -> None:
        times, values = self.trends[attribute].series()
        now = max((trend.newest() for trend in self.trends.values()), default=0.0)
        self._lines[attribute].setData([at - now for at in times], values, connect="finite")


def _plot(plots: Any, row: int, name: str, unit: str, colour: str) -> tuple[Any, Any]:
    """One plot and its line."""
    plot = plots.addPlot(row=row, col=0)
    plot.setTitle(f"{name} / {unit}", color="#444", size=f"{_TICK_POINTS}pt", justify="left")
    plot.getAxis("left").setWidth(_AXIS_WIDTH)
    font = Qt.QFont()
    font.setPointSize(_TICK_POINTS)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.enableAutoSIPrefix(enable=False)
        axis.setTickFont(font)
        axis.setTextPen("#333")
        axis.setPen("#999")
    plot.showGrid(x=True, y=True, alpha=0.2)
    plot.setLimits(yMin=0)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    return plot, plot.plot(pen=pyqtgraph.mkPen(colour, width=2))
