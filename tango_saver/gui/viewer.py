"""A process of silx."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt

from tango_saver.gui.silx import why_ended


class Viewer(Qt.QProcess):
    """silx with one file; ends with its parent.

    Signals:
        failed: why it has ended, or did not start.
    """

    failed = Qt.pyqtSignal(str)

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.setStandardOutputFile(Qt.QProcess.nullDevice())
        # methods of its own: Qt calls them no more once the process object is destroyed
        self.finished.connect(self._ended)
        self.errorOccurred.connect(self._did_not_start)

    def view(self, program: str, file: str) -> None:
        """Open a file, also while it is being written."""
        self.start(program, ["view", file])

    def _ended(self, code: int) -> None:
        reason = why_ended(code, bytes(self.readAllStandardError()).decode(errors="replace"))
        if reason:
            self.failed.emit(reason)
        self.deleteLater()

    def _did_not_start(self, error: int) -> None:
        if error == Qt.QProcess.FailedToStart:
            self.failed.emit(self.errorString())
            self.deleteLater()
