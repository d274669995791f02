"""The attributes of a new file."""

from __future__ import annotations

import tango_saver
from tango_saver.layout.metadata import text
from tango_saver.layout.moment import Moment
from tango_saver.model.plan import Attributes
from tango_saver.model.scan import ScanDescription


def root_attributes(description: ScanDescription, moment: Moment) -> Attributes:
    """Who made the file, when, and from what."""
    attributes = {
        "NX_class": "NXroot",
        "creator": "tango_saver",
        "creator_version": tango_saver.__version__,
        "file_name": text(description.target),
        "file_time": moment.date,
    }
    if description.publisher:
        attributes["publisher"] = text(description.publisher)
    if description.publisher_version:
        attributes["publisher_version"] = text(description.publisher_version)
    return attributes
