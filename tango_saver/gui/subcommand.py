"""``taurus saver DEVICE``."""

from __future__ import annotations

import sys

import click


@click.command("saver")
@click.argument("device")
def saver_cmd(device: str) -> None:
    """Show the panel of the tango_saver device DEVICE."""
    from taurus.qt.qtgui.application import (  # noqa: PLC0415 - Qt; not for `taurus --help`
        TaurusApplication,
    )

    from tango_saver.gui.panel import panel_window  # noqa: PLC0415

    application = TaurusApplication(
        app_name="tango_saver", org_name="tango_saver", cmd_line_parser=None
    )
    window = panel_window(device)
    window.show()
    sys.exit(application.exec_())
