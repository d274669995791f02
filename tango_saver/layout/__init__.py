"""Pure: from the description of a scan to the plan of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from tango_saver.errors import ConfigurationError
from tango_saver.layout.example import entry_names as example_entries
from tango_saver.layout.example import plan_example
from tango_saver.layout.h5map import map_of_target, plan_h5map, with_earlier_map
from tango_saver.layout.moment import Member, Moment
from tango_saver.layout.nexus import plan_nexus
from tango_saver.layout.options import LayoutOptions
from tango_saver.model.plan import FilePlan, PointKind
from tango_saver.model.scan import ScanDescription

__all__ = [
    "LAYOUTS",
    "Layout",
    "LayoutOptions",
    "Member",
    "Moment",
    "choose_layout",
    "entry_names",
    "plan_scan",
    "with_earlier_map",
]

Layout = Callable[[ScanDescription, Moment, LayoutOptions], FilePlan]

_DEFAULTS = LayoutOptions()
_PLANNERS: Mapping[str, Layout] = MappingProxyType(
    {
        "nexus": plan_nexus,
        "example": plan_example,
        # A map of the session leaves nothing to choose.
        "h5map": lambda description, moment, _options: plan_h5map(description, moment),
    }
)

AUTO = "auto"
"""As the session asks: h5map for SCAN_SAVING.writer ``mapping``, example for ``hdf5``, whose own
file has that form, else nexus."""
_LAYOUT_OF_WRITER: Mapping[str, str] = MappingProxyType({"mapping": "h5map", "hdf5": "example"})
LAYOUTS = (*_PLANNERS, AUTO)
"""The layouts by the names that the settings give."""


def choose_layout(wanted: str, description: ScanDescription) -> tuple[str, str]:
    """The layout that a scan gets, nexus, h5map or example.

    A scan that has no usable map of its file is never lost for that: it gets nexus.

    Returns:
        its name, and one sentence if it is not the wanted one, else nothing.

    Raises:
        ConfigurationError: there is no such layout.
    """
    if wanted not in LAYOUTS:
        raise ConfigurationError(
            f"no layout is called {wanted!r}",
            scan=description.key,
            advice=f"Use one of: {', '.join(LAYOUTS)}",
        )
    name = wanted
    if wanted == AUTO:
        name = _LAYOUT_OF_WRITER.get(description.writer, "nexus")
    if name == "h5map" and map_of_target(description) is None:
        return "nexus", "the scan carries no usable map of its file: it is saved as nexus"
    return name, ""


def entry_names(layout_name: str, description: ScanDescription) -> tuple[str, ...]:
    """Names of the entries of a scan in a layout that knows them without a map."""
    if choose_layout(layout_name, description)[0] == "example":
        return example_entries(description)
    n_entries = max(len(description.subscans), 1)
    return tuple(f"{description.number}.{index}" for index in range(1, n_entries + 1))


def plan_scan(
    layout_name: str,
    description: ScanDescription,
    moment: Moment,
    options: LayoutOptions = _DEFAULTS,
) -> FilePlan:
    """Lay out a scan in the layout of that name.

    Raises:
        ConfigurationError: there is no such layout.
    """
    name, sentence = choose_layout(layout_name, description)
    plan = _PLANNERS[name](description, moment, options)
    if options.checksums:
        plan = _with_checksums(plan)
    return replace(plan, warnings=(sentence, *plan.warnings)) if sentence else plan


def _with_checksums(plan: FilePlan) -> FilePlan:
    """The plan with a checksum for every chunk of numbers; texts lie outside of their chunks."""
    streams = {
        channel: tuple(
            replace(spec, storage=replace(spec.storage, checksum=spec.kind is PointKind.NUMERIC))
            for spec in specs
        )
        for channel, specs in plan.streams.items()
    }
    further = tuple(_with_checksums(part) for part in plan.further)
    return replace(plan, streams=streams, further=further)
