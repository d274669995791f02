"""Which file a scan of BLISS 1 goes to."""

from __future__ import annotations

import posixpath

from tango_saver.model.scan import Json

_OF_THE_SESSION = "hdf5"
"""The writer that runs inside the session and holds the file."""


def target_of(filename: Json, writer: str) -> str:
    """The file that gets the scan's entries.

    While the session writes its own file, ours stands beside it with ``_external`` in its
    name, as the BLISS documentation has it. For all other writers it is the published one.

    Args:
        filename: as published; empty, or no text, if the scan is not saved.
        writer: SCAN_SAVING.writer: hdf5, nexus or null.
    """
    if not isinstance(filename, str) or not filename:
        return ""
    if writer != _OF_THE_SESSION:
        return filename
    stem, extension = posixpath.splitext(filename)
    return f"{stem}_external{extension}"
