"""Pure: from the description of a scan to the plan of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tango_saver.errors import ConfigurationError
from tango_saver.layout.nexus import Moment, plan_nexus
from tango_saver.model.plan import FilePlan
from tango_saver.model.scan import ScanDescription

__all__ = ["LAYOUTS", "Layout", "Moment", "plan_scan"]

Layout = Callable[[ScanDescription, Moment], FilePlan]

LAYOUTS: Mapping[str, Layout] = MappingProxyType({"nexus": plan_nexus})
"""The layouts by the name that the settings give."""


def plan_scan(layout_name: str, description: ScanDescription, moment: Moment) -> FilePlan:
    """Lay out a scan in the layout of that name.

    Raises:
        ConfigurationError: there is no such layout.
    """
    layout = LAYOUTS.get(layout_name)
    if layout is None:
        raise ConfigurationError(
            f"no layout is called {layout_name!r}",
            scan=description.key,
            advice=f"Use one of: {', '.join(LAYOUTS)}",
        )
    return layout(description, moment)
