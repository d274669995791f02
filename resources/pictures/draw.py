# ruff: noqa: INP001 - a script, no package

"""Draws what silx shows of a file when it is opened, without a screen.

    python draw.py FILE[::/ENTRY] PICTURE.png [VIEW]

VIEW is the name of one of silx's views (Curve, Image, Scatter), default the one that silx
takes by itself. Needs ``silx[full]`` and PyQt5, in an environment of their own.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import PyQt5.QtCore  # noqa: F401 - silx takes the binding that is there already
import silx.io
from silx.gui import qt
from silx.gui.data.DataViewerFrame import DataViewerFrame
from silx.gui.data.DataViews import DataView

_SIZE = (760, 480)
_DRAWING_S = 2.0
"""Scatter plots are triangulated in the background."""


def draw(url: str, picture: str, view: str = "") -> str:
    """Save the picture; the name of the view."""
    application = qt.QApplication.instance() or qt.QApplication([])
    shown = silx.io.open(url)
    frame = DataViewerFrame()
    frame.resize(*_SIZE)
    frame.setData(shown)
    if view:
        frame.setDisplayedView(_view(frame, view))
    frame.show()
    deadline = time.monotonic() + _DRAWING_S
    while time.monotonic() < deadline:
        application.processEvents()
    frame.grab().save(picture)
    return str(frame.displayedView().label())


def _view(frame: DataViewerFrame, name: str) -> DataView:
    for view in frame.currentAvailableViews():
        if view.label() == name:
            return view
    names = ", ".join(view.label() for view in frame.currentAvailableViews())
    raise SystemExit(f"silx has no view {name} of it, only {names}")


if __name__ == "__main__":
    print(draw(*sys.argv[1:]))  # noqa: T201 - it is a script
