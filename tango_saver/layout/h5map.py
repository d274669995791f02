"""The layout ``h5map``: files as the session itself describes them.

BLISS >= 2.4 publishes, in ``info["h5maps"]``, a map of each file that a scan goes to: a tree
of groups, datasets and links, once before the scan starts and anew before it closes. The plan
follows the newest map and adds what a reader of BLISS files needs: ``writer`` (NXnote) in
every NXentry, and ``end_time`` when all points are on disk, even if the map has it earlier.

An item that cannot be decoded costs itself and becomes a warning.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from tango_saver.errors import LayoutError
from tango_saver.layout.h5map_tree import FileMap, is_group
from tango_saver.layout.h5map_values import shown
from tango_saver.layout.moment import Moment
from tango_saver.model.plan import FilePlan
from tango_saver.model.scan import Json, ScanDescription


def map_of_target(description: ScanDescription) -> Mapping[str, Json] | None:
    """The map of the scan's own file; None if the scan carries none that can be used."""
    item = _maps(description).get(posixpath.normpath(description.target or "."))
    return item if is_group(item) else None


def with_earlier_map(later: ScanDescription, earlier: ScanDescription) -> ScanDescription:
    """The later description; with the maps of the earlier one if its own cannot be used."""
    if map_of_target(later) is not None:
        return later
    return replace(later, info={**later.info, "h5maps": earlier.info.get("h5maps")})


def plan_h5map(description: ScanDescription, moment: Moment) -> FilePlan:
    """Lay out a scan as its map says.

    Args:
        description: of a scan that has a map of its own file.
        moment: what else is known.

    Returns:
        the plan of the scan's own file, with those of all other files as ``further``; its
        warnings are those of all.

    Raises:
        LayoutError: the scan carries no usable map of its own file.
    """
    own = map_of_target(description)
    if own is None:
        raise LayoutError(
            "it carries no usable map of its own file",
            scan=description.key,
            advice="Save it in the layout nexus",
        )
    own_name = posixpath.normpath(description.target)
    plan = FileMap(description, moment, description.target).plan(own)
    further: list[FilePlan] = []
    warnings = list(plan.warnings)
    for name, item in _maps(description).items():
        if name == own_name:
            continue
        if is_group(item):
            further.append(FileMap(description, moment, name, plan).plan(item))
        else:
            warnings.append(f"the map of {shown(name)} is no group: that file is not made")
    warnings += [sentence for other in further for sentence in other.warnings]
    return replace(plan, further=tuple(further), warnings=tuple(warnings))


def _maps(description: ScanDescription) -> Mapping[str, Json]:
    """The maps by the normal form of their files' names; the first of two equal ones counts."""
    found = description.info.get("h5maps")
    maps: dict[str, Json] = {}
    for name, item in found.items() if isinstance(found, Mapping) else ():
        # "..", which the normal form would hide, must still be seen and refused
        normal = name if ".." in name.split("/") else posixpath.normpath(name)
        maps.setdefault(normal, item)
    return maps
