"""How the images of detectors lie in an entry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tango_saver.layout import Moment, plan_scan
from tango_saver.layout.options import LayoutOptions
from tango_saver.model.plan import FilePlan, Group, ReferenceDataset, SoftLink
from tango_saver.model.scan import ChannelKind, ChannelSpec, ScanDescription, ScanKey, ScanState

LIMA = {
    "file_path": "/data/cam_%04d.h5", "data_path": "/entry/data", "file_format": "hdf5",
    "frame_per_file": 10, "frame_per_acquisition": 25,
}  # fmt: skip
CAMERA: dict[str, Any] = {
    "plugin": "lima", "dtype": "uint16", "shape": [16, 12], "lima_info": LIMA
}  # fmt: skip


def channel(name: str, info: dict[str, Any] | None = None, **parts: Any) -> ChannelSpec:
    kind = ChannelKind.IMAGE_REFERENCE if info is not None else ChannelKind.NUMERIC
    number = {} if info is not None else {"dtype": np.dtype("<f8"), "shape": ()}
    default = {"stream": name, "kind": kind, "dtype": None, "shape": None, "info": info or {}}
    return ChannelSpec(name=name, **{**default, **number, **parts})


def plan(*channels: ChannelSpec, device_type: str = "lima", edf_pixels: bool = False) -> FilePlan:
    devices = {
        spec.name: {"device_type": device_type, "device_info": {"type": "lima"}}
        for spec in channels
    }
    description = ScanDescription(
        key=ScanKey("esrf:scan:X"), session="s", name="loopscan", number=7,
        state=ScanState.PREPARED, saved=True, writer="nexus", target="/data/data.h5",
        state_stream="t", channels={spec.name: spec for spec in channels},
        info={"nexuswriter": {"devices": devices}},
    )  # fmt: skip
    moment = Moment("RUNNING", "2026-11-24T17:00:00+00:00")
    return plan_scan("nexus", description, moment, LayoutOptions(edf_pixels=edf_pixels))


def reference(made: FilePlan) -> ReferenceDataset:
    (found,) = made.references.values()
    return found


def test_images_have_the_place_and_the_links_of_a_detector() -> None:
    found = reference(plan(channel("cam:image", CAMERA)))
    assert found.path == "/7.1/instrument/cam/image"
    assert (found.dtype, found.shape, found.source) == (np.dtype("uint16"), (16, 12), "/entry/data")
    assert found.missing == "/7.1/instrument/cam/image_missing"
    assert found.attributes == {"interpretation": "image"}
    assert found.companions == (
        Group("/7.1/instrument/cam", {"NX_class": "NXdetector"}),
        SoftLink("/7.1/instrument/cam/data", "image"),
        SoftLink("/7.1/measurement/cam", "/7.1/instrument/cam/image"),
    )


def test_a_table_of_other_files_is_linked_from_measurement_too() -> None:
    info = {**CAMERA, "lima_info": {**LIMA, "file_format": "edf", "data_path": None}}
    found = reference(plan(channel("cam:image", info)))
    assert (found.dtype, found.shape, found.source) == (None, (), "")
    assert SoftLink("/7.1/measurement/cam", "/7.1/instrument/cam/image") in found.companions
    assert "edf" in found.reason


@pytest.mark.parametrize(
    ("file_format", "wanted"),
    [("EDF", True), ("EDFConcat", True), ("EDFGZ", False), ("CBF", False)],
)
def test_pixels_of_edf_files_that_are_not_compressed_can_be_asked_for(
    file_format: str, *, wanted: bool
) -> None:
    lima = {**LIMA, "file_format": file_format, "data_path": None}
    camera = channel("cam:image", {**CAMERA, "lima_info": lima})
    assert reference(plan(camera)).pixels is None
    pixels = reference(plan(camera, edf_pixels=True)).pixels
    assert (pixels is not None) == wanted
    if pixels is not None:
        assert pixels.path == "/7.1/instrument/cam/image_pixels"
        assert (pixels.dtype, pixels.shape) == (np.dtype("u2"), (16, 12))
        assert pixels.companions == (SoftLink("/7.1/measurement/cam_pixels", pixels.path),)


def test_spectra_that_mosca_saves_are_shown_as_spectra() -> None:
    info = {
        "plugin": "mosca", "dtype": "uint32", "shape": [4096], "detector": 1,
        "mosca_info": {
            "file_path": "/data", "file_prefix": "fx_", "data_path": "/entry", "points_per_file": 9,
            "file_format": "hdf5", "saving_enabled": True,
        },
    }  # fmt: skip
    found = reference(plan(channel("fx:spectrum:det01", info), device_type="mosca"))
    assert found.path == "/7.1/instrument/fx_det1/spectrum"
    assert found.attributes == {"interpretation": "spectrum"}


def test_a_detector_that_was_told_not_to_save_is_no_reason_to_warn() -> None:
    made = plan(channel("cam:image", {**CAMERA, "lima_info": {"protocol_version": 1}}))
    assert made.references == {}
    assert made.warnings == ()
    assert "/7.1/instrument/cam/type" in {node.path for node in made.nodes}


@pytest.mark.parametrize(
    "info", [{**CAMERA, "lima_info": None}, {**CAMERA, "dtype": "O"}, {"plugin": "lima"}]
)
def test_images_whose_place_is_not_clear_are_named_in_the_file(info: dict[str, Any]) -> None:
    made = plan(channel("cam:image", info), channel("c:x"))
    assert made.references == {}
    assert list(made.streams) == ["c:x"]
    (sentence,) = made.warnings
    assert sentence.startswith("channel cam:image is not saved: where its images are")
    assert {node.path for node in made.nodes} >= {"/7.1/writer/description"}


def test_the_list_of_missing_frames_takes_no_name_of_a_channel() -> None:
    made = plan(channel("cam:image", CAMERA), channel("cam:image_missing"))
    assert made.streams["cam:image_missing"][0].path == "/7.1/instrument/cam/image_missing"
    assert reference(made).missing == "/7.1/instrument/cam/image_missing_2"


def test_a_channel_that_cannot_be_read_is_not_shown() -> None:
    spec = replace(channel("cam:image", CAMERA), problem="its encoding is unknown")
    made = plan(spec)
    assert made.references == {}
    assert made.warnings == ("channel cam:image is not saved: its encoding is unknown",)
