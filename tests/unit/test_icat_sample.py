from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tango_saver.layout.icat import sample_of
from tango_saver.layout.metadata import add_mapping
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import Group, Value


def test_the_fields_of_the_sample_go_to_the_groups_of_the_icat_definitions() -> None:
    tree = EntryTree("1.1")
    snapshot = {
        "Sample_name": "LaB6",
        "Sample_description": "standard",
        "Sample_thickness": 0.5,
        "Sample_notes": "handle with care",
        "SampleEnvironment_type": "cryostat",
        "SampleEnvironmentSensors_name": "T1 T2",
        "SampleTrackingParcel_id": "42",
        "SamplePositioners_name": "robx",
        "SampleUnheardOf_thing": "kept",
        "startDate": "2026-11-24",
        "InstrumentMonochromator_energy": 12,
    }
    add_mapping(tree, "/1.1/sample", sample_of(snapshot), "NXsample")
    nodes = {node.path.removeprefix("/1.1/sample"): node for node in tree.nodes()}
    assert {path: node.value for path, node in nodes.items() if isinstance(node, Value)} == {
        "/name": "LaB6",
        "/description": "standard",
        "/thickness": 0.5,
        "/notes/notes": "handle with care",
        "/environment/type": "cryostat",
        "/environment/sensors/name": "T1 T2",
        "/tracking/parcel/id": "42",
        "/SampleUnheardOf_thing": "kept",
    }
    classes = {
        path: node.attributes["NX_class"] for path, node in nodes.items() if isinstance(node, Group)
    }
    assert classes == {
        "": "NXsample",
        "/notes": "NXnote",
        "/environment": "NXenvironment",
        "/environment/sensors": "NXsensor",
        "/tracking": "NXsubentry",
        "/tracking/parcel": "NXsubentry",
    }
    assert nodes["/thickness"].attributes == {"units": "mm"}
    assert tree.warnings == []


KEYS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["Sample", "SampleEnvironment", "SamplePaleo", "Samples", "x"]),
    st.sampled_from(["_", "", "@", ">"]),
    st.text(max_size=5),
)


@given(st.dictionaries(KEYS, st.integers() | st.text() | st.dictionaries(st.text(), st.integers())))
def test_every_snapshot_can_be_laid_out(snapshot: dict[str, Any]) -> None:
    tree = EntryTree("1.1")
    add_mapping(tree, "/1.1/sample", sample_of(snapshot), "NXsample")
    paths = [node.path for node in tree.nodes()]
    assert len(set(paths)) == len(paths)
