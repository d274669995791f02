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

    _refuse_unknown(device)
    application = TaurusApplication(
        app_name="tango_saver", org_name="tango_saver", cmd_line_parser=None
    )
    window = panel_window(device)
    window.show()
    sys.exit(application.exec_())


def _refuse_unknown(device: str) -> None:
    """A device that does not run may come; one that nobody has registered will not."""
    import tango  # noqa: PLC0415 - not for `taurus --help`

    try:
        tango.DeviceProxy(device)
    except tango.DevFailed as error:
        if error.args[0].reason == "DB_DeviceNotDefined":
            raise click.ClickException(
                f"{device} is not in the Tango database. Check its name and TANGO_HOST"
            ) from error
