"""Files that many scans share, and that get a link to every entry."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from tango_saver.layout.metadata import text
from tango_saver.model.plan import Attributes, ExternalLink, LinkFromElsewhere
from tango_saver.model.scan import ScanDescription

_DATA_FILE = "dataset"
"""The level of the policy that has the entries by their own names."""


def links_from_elsewhere(
    description: ScanDescription, entries: tuple[str, ...], root_attributes: Attributes
) -> tuple[LinkFromElsewhere, ...]:
    """The links that other files get to a scan.

    The data file has the entries by their own names if the scan has a file of its own. A master
    file of the data policy has them by the name of the data file and their own:
    ``sampleA_area1_1.1``.

    Args:
        description: of the scan.
        entries: names of its entries.
        root_attributes: for such a file if it has to be made.
    """
    target = description.target
    if not target.startswith("/"):
        return ()
    stem = posixpath.splitext(posixpath.basename(target))[0]
    names = {
        file: "" if level == _DATA_FILE else f"{stem}_" for level, file in _masters(description)
    }
    if description.index_file:
        names[description.index_file] = ""
    names.pop(target, None)
    return tuple(
        LinkFromElsewhere(
            file,
            ExternalLink(
                f"/{prefix}{entry}",
                posixpath.relpath(target, posixpath.dirname(file)),
                f"/{entry}",
            ),
            {**root_attributes, "file_name": text(file)},
        )
        for file, prefix in names.items()
        for entry in entries
    )


def _masters(description: ScanDescription) -> Iterator[tuple[str, str]]:
    """Level of the data policy and file of each master."""
    nexuswriter = description.info.get("nexuswriter")
    masters = nexuswriter.get("masterfiles") if isinstance(nexuswriter, Mapping) else None
    if isinstance(masters, Mapping):
        for level, file in masters.items():
            if isinstance(file, str) and file.startswith("/"):
                yield level, file
