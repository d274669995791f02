from __future__ import annotations

from typing import Any

import pytest

from tango_saver.source.bliss2.target import scan_target


@pytest.mark.parametrize(
    ("images_path", "separate", "target"),
    [
        ("/data/scan0004/{img_acq_device}_", True, "/data/scan0004/bliss_master.h5"),
        ("/data/scan0004/{a}/{b}_", True, "/data/scan0004/bliss_master.h5"),
        ("/data/scan0004", True, "/data/scan0004/bliss_master.h5"),
        ("/data/scan0004/{img_acq_device}_", False, "/data/data.h5"),
        ("/data/scan0004/{img_acq_device}_", None, "/data/data.h5"),
        ("/data/scan0004/{img_acq_device}_", "yes", "/data/data.h5"),
        ("", True, "/data/data.h5"),
        (None, True, "/data/data.h5"),
        (["/data"], True, "/data/data.h5"),
        ("{img_acq_device}", True, "/data/data.h5"),
    ],
)
def test_a_scan_has_a_file_of_its_own_only_if_the_session_says_so_and_where(
    images_path: Any, separate: Any, target: str
) -> None:
    assert scan_target("/data/data.h5", images_path, separate, "nexus") == target


def test_the_file_of_a_scan_has_the_extension_of_the_data_file() -> None:
    target = scan_target("/d/x.nxs", "/d/scan1/{i}", separate=True, writer="nexus")
    assert target == "/d/scan1/bliss_master.nxs"


def test_without_a_data_file_there_is_none_of_its_own() -> None:
    assert scan_target("", "/d/scan1/{i}", separate=True, writer="nexus") == ""


def test_a_session_that_maps_its_files_itself_knows_where_the_scan_goes() -> None:
    assert scan_target("/d/x.h5", "/d/scan1/{i}", separate=True, writer="mapping") == "/d/x.h5"
