from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tango_saver.control.attributes import ShowingDevice
from tango_saver.control.shown import (
    LONGEST_LIST,
    ShownAttribute,
    Snapshot,
    finished_line,
    percent,
    settings_text,
    shown_attributes,
    tango_text,
)
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus


def _progress(saved: int, expected: int | None) -> ScanProgress:
    return ScanProgress(
        key="k",
        session="s",
        name="ascan",
        number=12,
        state=SavingState.SAVING,
        target="/data/x.h5",
        points_saved=saved,
        points_expected=expected,
    )


def _report(error: str = "") -> ScanReport:
    return ScanReport(
        key="k",
        session="s",
        name="ascan",
        number=12,
        state=SavingState.FAILED if error else SavingState.SAVED,
        target="/data/x.h5",
        entries=("12.1", "12.2"),
        end_reason="SUCCESS",
        channels=(),
        bytes_saved=0,
        started_at=0.0,
        finished_at=1.0,
        error=error,
    )


@given(st.text())
def test_every_text_fits_a_tango_string(text: str) -> None:
    shown = tango_text(text)

    assert len(shown) == len(text)
    assert "\0" not in shown
    assert shown.encode("latin-1").decode("latin-1") == shown


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\0")))
def test_latin_text_is_shown_as_it_is(text: str) -> None:
    assert tango_text(text) == text


@given(st.integers(0, 10**12), st.none() | st.integers(0, 10**12))
def test_percent_lies_between_0_and_100_or_is_unknown(saved: int, expected: int | None) -> None:
    value = percent(_progress(saved, expected))

    assert 0 <= value <= 100 or (math.isnan(value) and not expected)


def test_finished_line_says_what_and_where() -> None:
    line = finished_line(_report())

    assert line.startswith("12_ascan: SAVED")
    assert line.endswith("/data/x.h5::/12.1")
    assert finished_line(_report("disk full")).endswith(": disk full")


def test_settings_are_one_line_each_without_password() -> None:
    settings = SaverSettings(session="demo", redis_url="redis://user:s3cret@host:6379/0")

    lines = settings_text(settings).splitlines()

    assert "session = demo" in lines
    assert any("host:6379" in line for line in lines)
    assert "s3cret" not in settings_text(settings)


def test_every_attribute_can_show_the_state_before_anything_happened() -> None:
    attributes = shown_attributes(ShowingDevice)

    values = [
        attribute.value(Snapshot(SaverSettings(), SaverStatus(SaverState.INIT, "")))
        for attribute in attributes.values()
    ]

    assert len(values) > 20


def test_lists_are_cut_to_what_tango_takes() -> None:
    attribute = ShownAttribute(
        lambda shown: [scan.key for scan in shown.status.running], dtype=(str,), max_dim_x=1
    )
    running = (_progress(0, None),) * (LONGEST_LIST + 1)

    shown = attribute.value(
        Snapshot(SaverSettings(), SaverStatus(SaverState.ON, "", running=running))
    )

    assert shown == ["k"] * LONGEST_LIST
