from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.layout.naming import clean, link_name, place, short_names

NAMES = st.lists(
    st.lists(st.text("abµ_ /", min_size=1, max_size=3), min_size=1, max_size=3).map(":".join),
    unique=True,
    max_size=8,
)


@given(st.text())
def test_a_clean_name_holds_letters_digits_and_underscores_only(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_]+", clean(name))


@given(st.text())
def test_a_motor_keeps_its_name_as_far_as_a_file_can_have_it(name: str) -> None:
    linked = link_name(name)
    assert linked not in ("", ".", "..")
    assert "/" not in linked
    assert "\0" not in linked
    assert linked == name or name in ("", ".", "..") or "/" in name or "\0" in name


@given(NAMES)
def test_short_names_are_unique_tails(names: list[str]) -> None:
    shorts = short_names(names)
    assert set(shorts) == set(names)
    assert len(set(shorts.values())) == len(names)
    assert all(name == short or name.endswith(f":{short}") for name, short in shorts.items())


def test_the_shortest_tail_that_is_unique_is_taken() -> None:
    assert short_names(["devA:x", "devB:x", "devB:y"]) == {
        "devA:x": "devA:x",
        "devB:x": "devB:x",
        "devB:y": "y",
    }


@pytest.mark.parametrize(
    ("name", "device_type", "data_type", "group", "dataset", "principal"),
    [
        ("axis:robx", "", "", "robx", "data", True),
        ("zoo:odd name-µ/x", "", "", "odd_name_x", "data", True),
        ("ctrl:diode", "samplingcounter", "signal", "diode", "signal", True),
        ("ctrl:diode_stats_std", "samplingcounter", "", "diode_stats", "std", False),
        ("ctrl:diode_samples_samples", "samplingcounter", "", "diode_samples", "samples", False),
        ("ctrl:plain", "samplingcounter", "", "plain", "data", True),
        ("simu1:spectrum_det0", "mca", "", "simu1_det0", "spectrum", True),
        ("simu1:icr_det12", "mca", "", "simu1_det12", "trigger_count_rate", False),
        ("simu1:trigger_livetime_det0", "mca", "", "simu1_det0", "trigger_live_time", False),
        ("simu1:my_roi_det0", "mca", "", "simu1_det0", "my_roi", False),
        ("simu1:roi1", "mca", "", "simu1_sum", "roi1", False),
        ("fx:spectrum:det01", "mosca", "", "fx_det1", "spectrum", True),
        ("fx:spectrum:det00", "mosca", "", "fx_det0", "spectrum", True),
        ("fx:stat:icr_det01", "mosca", "", "fx_det1", "trigger_count_rate", False),
        ("fx:roi:r_sum_all", "mosca", "", "fx_sum_all", "r", False),
        ("fx:roi:r_sum_0_3", "mosca", "", "fx_sum_0_3", "r", False),
        ("cam:image", "lima", "", "cam", "image", True),
        ("cam:roi_counters:r1_sum", "lima", "", "cam_r1", "sum", False),
        ("cam:roi_profiles:p", "lima", "", "cam_p", "data", True),
        ("cam:bpm:x", "lima", "", "cam_bpm", "x", False),
        ("cam2:frame", "lima2", "", "cam2", "frame", True),
        ("mythen1:spectrum", "mythen", "", "mythen1", "spectrum", True),
        ("autof:transm", "autofilter", "", "autof", "transm", False),
    ],
)
def test_the_kind_of_a_device_decides_where_its_channels_go(
    name: str, device_type: str, data_type: str, group: str, dataset: str, principal: bool
) -> None:
    found = place(name, name.rpartition(":")[2], device_type, data_type)
    assert (found.group, found.dataset, found.principal) == (group, dataset, principal)


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [("realtime", "s"), ("icr", "hertz"), ("ocr", "hertz"), ("spectrum", ""), ("events", "")],
)
def test_what_an_mca_counts_has_its_unit(quantity: str, unit: str) -> None:
    assert place(f"simu1:{quantity}_det0", quantity, "mca", "").units == unit


@given(st.text("ab:_", max_size=8), st.sampled_from(["mca", "mosca", "lima", "lima2", "mythen"]))
def test_every_name_gets_a_place(name: str, device_type: str) -> None:
    found = place(name, name, device_type, "")
    assert clean(found.group) == found.group
    assert clean(found.dataset) == found.dataset
