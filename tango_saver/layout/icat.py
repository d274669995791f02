"""The sample as the ESRF data policy describes it, by the names of the ICAT database.

The policy sends what it knows of a dataset as ``dataset_metadata_snapshot``, whose keys are
names of ICAT fields: ``Sample_name``, ``SampleEnvironment_type``. The public ICAT field
definitions say which group and which field each of them is; those of the sample are rendered
here by the first part of the name. Other fields go into ICAT without us.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tango_saver.model.scan import Json

SAMPLE = "Sample"

_GROUPS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "Sample": (),
        "SampleProtein": (("protein", "NXcollection"),),
        "SampleChanger": (("changer", "NXcollection"),),
        "SamplePatient": (("patient", "NXcollection"),),
        "SampleEnvironment": (("environment", "NXenvironment"),),
        "SampleEnvironmentSensors": (("environment", "NXenvironment"), ("sensors", "NXsensor")),
        "SampleTrackingShipment": (("tracking", "NXsubentry"), ("shipment", "NXsubentry")),
        "SampleTrackingParcel": (("tracking", "NXsubentry"), ("parcel", "NXsubentry")),
        "SampleTrackingContainer": (("tracking", "NXsubentry"), ("container", "NXcollection")),
        "SampleLocalisation": (("localisation", "NXcollection"),),
        "SamplePaleo": (("paleo", "NXcollection"),),
        "SamplePaleoGeologicalTime": (
            ("paleo", "NXcollection"),
            ("geological_time", "NXcollection"),
        ),
        "SamplePaleoClassification": (
            ("paleo", "NXcollection"),
            ("classification", "NXcollection"),
        ),
    }
)
"""First part of the field's name -> groups below ``sample`` and their classes."""
_IN_A_NOTE = "Sample_notes"
_POSITIONERS = "SamplePositioners"
"""The motors are in ``instrument/positioners`` already."""
_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "Sample_distance": "mm",
        "Sample_thickness": "mm",
        "SamplePatient_age": "a",
        "SamplePatient_weight": "kg",
        "SamplePatient_size": "cm",
        "SampleTrackingParcel_storage_condition": "°C",
    }
)


def sample_of(snapshot: Mapping[str, Json]) -> Mapping[str, Json]:
    """The sample's part of a snapshot, as a mapping in the syntax of ``add_mapping``.

    A field of a group that is not known stays in the sample under its whole name.
    """
    sample: dict[str, Any] = {}
    for key, value in snapshot.items():
        group, separator, field = key.partition("_")
        if not key.startswith(SAMPLE) or group == _POSITIONERS:
            continue
        groups = _GROUPS.get(group) if separator and field else None
        if groups is None:
            groups, field = (), key
        if key == _IN_A_NOTE:
            groups = (("notes", "NXnote"),)
        place = sample
        for name, nx_class in groups:
            place = place.setdefault(name, {"@NX_class": nx_class})
        # The separators of the mapping's syntax have no such meaning in a field's name.
        field = field.replace("@", "_").replace(">", "_")
        place[field] = value
        if key in _UNITS:
            place[f"{field}@units"] = _UNITS[key]
    return sample
