"""What the panel shows for the values of a device; no Qt is needed."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.control.shown import finished_line
from tango_saver.engine.wording import Situation, saver_state, status_text
from tango_saver.gui.finished import FinishedScan, finished_scan, last_files
from tango_saver.gui.silx import why_ended, why_not
from tango_saver.gui.trend import Trend
from tango_saver.gui.view import panel_view, summary
from tango_saver.model.report import ChannelReport, SavingState, ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState

_REPORT = ScanReport(
    key="k",
    session="s",
    name="ascan",
    number=12,
    state=SavingState.SAVED,
    target="/data/x.h5",
    entries=("12.1",),
    end_reason="SUCCESS",
    channels=(ChannelReport("diode", 1234, 1234, 1234),),
    bytes_saved=0,
    started_at=0.0,
    finished_at=1.0,
)
_VALUES = {
    "State": "RUNNING",
    "Status": "Saving 2 scans.",
    "Session": "demo",
    "RunningScans": ["3_ascan", "4_timescan"],
    "ScanProgress": [40.0, math.nan],
    "DataRate": 12.34,
    "Lag": 0.2,
    "DiskFree": math.nan,
    "DiskTimeLeft": math.nan,
    "SecondsToDataLoss": math.inf,
    "ScansSaved": 1200,
    "ScansFailed": 0,
    "PointsLost": 0,
}


def test_the_view_is_computed_without_qt() -> None:
    code = (
        "import sys; import tango_saver.gui.view, tango_saver.gui.trend, tango_saver.gui.silx;"
        "print([name for name in sys.modules if name.startswith(('PyQt', 'taurus', 'pyqtgraph'))])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_states_that_ask_for_different_actions_have_different_leds() -> None:
    leds = {state.value: panel_view({"State": state.value}).led for state in SaverState}

    assert leds["ALARM"] == ("orange", True)
    assert leds["FAULT"] == ("red", True)
    assert leds["OFF"] == panel_view({}).led  # dark
    # scans are being written in both
    assert leds.pop("MOVING") == leds["RUNNING"]
    assert len(set(leds.values())) == len(leds)


def test_a_bar_for_each_running_scan_also_without_a_known_length() -> None:
    bars = panel_view(_VALUES).bars

    assert [(bar.scan, bar.percent, bar.text) for bar in bars] == [
        ("3_ascan", 40.0, "40 %"),
        ("4_timescan", None, "length unknown"),
    ]


@given(
    st.lists(st.text(), max_size=5),
    st.lists(st.floats(allow_infinity=True, allow_nan=True), max_size=5),
)
def test_lists_of_different_length_are_shown_as_far_as_they_go(
    scans: list[str], progress: list[float]
) -> None:
    bars = panel_view({**_VALUES, "RunningScans": scans, "ScanProgress": progress}).bars

    assert [bar.scan for bar in bars] == scans
    assert all(bar.percent is None or 0.0 <= bar.percent <= 100.0 for bar in bars)


def test_numbers_have_their_units_and_what_is_unknown_a_question_mark() -> None:
    texts = {figure.name: figure.text for figure in panel_view(_VALUES).figures}

    assert texts == {
        "scans saved": "1,200",
        "scans failed": "0",
        "points lost": "0",
        "rate": "12.3 MB/s",
        "lag": "0.20 s",
        "disk free": "?",
        "data loss in": "–",  # noqa: RUF001 - as shown
    }
    slow = panel_view({**_VALUES, "DataRate": 0.0042}).figures
    assert "4.2 kB/s" in {figure.text for figure in slow}


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ({"ScansFailed": 1}, "scans failed"),
        ({"PointsLost": 7}, "points lost"),
        ({"State": "ALARM", "Warnings": ["The disk of /data has 3 GB left"]}, "disk free"),
        ({"DiskFree": 1.0, "DiskTimeLeft": 500.0}, "disk free"),
        ({"SecondsToDataLoss": 45.0}, "data loss in"),
    ],
)
def test_what_is_bad_is_marked(values: dict[str, object], bad: str) -> None:
    assert not any(figure.is_bad for figure in panel_view(_VALUES).figures)

    marked = [figure.name for figure in panel_view({**_VALUES, **values}).figures if figure.is_bad]

    assert marked == [bad]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45.0, "45 s"), (150.0, "2 min"), (7300.0, "2 h"), (3e5, "3 d"), (1e9, "–")],  # noqa: RUF001
)
def test_times_are_told_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    figures = panel_view({**_VALUES, "SecondsToDataLoss": seconds}).figures

    assert {figure.name: figure.text for figure in figures}["data loss in"] == text


def test_when_the_disk_will_be_full_is_told_within_a_day() -> None:
    def disk(seconds: float) -> str:
        values = {**_VALUES, "DiskFree": 73.5, "DiskTimeLeft": seconds}
        return next(each.text for each in panel_view(values).figures if each.name == "disk free")

    assert disk(7300.0) == "73.5 GB, full in 2 h"
    assert disk(1e6) == disk(math.inf) == "73.5 GB"


@pytest.mark.parametrize(
    ("state", "start", "stop"),
    [
        ("OFF", True, False),
        ("ON", False, True),
        ("RUNNING", False, True),
        ("MOVING", True, False),
        ("ALARM", False, True),
        ("FAULT", True, True),
    ],
)
def test_start_and_stop_are_offered_when_they_have_an_effect(
    state: str, start: bool, stop: bool
) -> None:
    commands = panel_view({"State": state}).commands

    assert ("Start" in commands, "Stop" in commands) == (start, stop)
    assert {"Reset", "Init"} <= commands


def test_start_is_offered_while_a_scan_is_saved_on_demand() -> None:
    scan = ScanProgress("k", "s", "ascan", 12, SavingState.SAVING, "/data/x.h5")
    now = Situation(SaverSettings(session="s"), running=(scan,))
    values = {"State": saver_state(now).value, "Status": status_text(now)}

    assert values["State"] == "RUNNING"
    assert "Start" in panel_view(values).commands
    listening = replace(now, listening=True)
    assert "Start" not in panel_view({**values, "Status": status_text(listening)}).commands


def test_without_contact_nothing_can_be_commanded_and_the_reason_is_shown() -> None:
    view = panel_view(_VALUES, "the server does not answer")

    assert (view.state, view.is_connected) == ("UNKNOWN", False)
    assert "the server does not answer" in view.status
    assert view.commands == frozenset()
    assert view.bars == ()


def test_warnings_are_shown_once() -> None:
    alarm, notice = "The disk is nearly full.", "3_ascan: paused"
    now = Situation(SaverSettings(), listening=True, alarms=(alarm,))
    values = {"State": "ALARM", "Status": status_text(now), "Warnings": [alarm, notice]}

    view = panel_view(values)

    assert "The disk is nearly full" in view.status
    assert view.warnings == (notice,)


def test_the_last_error_is_shown_while_nothing_else_tells_it() -> None:
    error = "12_ascan: the disk is gone"

    assert panel_view({**_VALUES, "LastError": error}).warnings == (f"Last error: {error}",)
    assert (
        panel_view({**_VALUES, "LastError": error, "Status": f"Look at: {error}."}).warnings == ()
    )


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (_REPORT, FinishedScan("12_ascan", "saved, 1,234 points", "/data/x.h5", "12.1")),
        (
            replace(_REPORT, end_reason="USER_ABORT", warnings=("a: b", "c -> d::/1")),
            FinishedScan(
                "12_ascan",
                "saved, 1,234 points, USER_ABORT",
                "/data/x.h5",
                "12.1",
                "a: b; c -> d::/1",
                is_complete=False,
            ),
        ),
        (
            replace(
                _REPORT, state=SavingState.FAILED, entries=(), end_reason="", error="no\nroom: x"
            ),
            FinishedScan(
                "12_ascan",
                "failed, 1,234 points, no end",
                "/data/x.h5",
                note="no\nroom: x",
                is_complete=False,
            ),
        ),
    ],
)
def test_finished_scans_are_read_from_the_lines_of_the_device(
    report: ScanReport, expected: FinishedScan
) -> None:
    assert finished_scan(finished_line(report)) == expected


@given(st.text())
def test_no_line_is_too_strange_to_be_read(line: str) -> None:
    assert finished_scan(line) is None or isinstance(finished_scan(line), FinishedScan)


def test_the_last_file_is_listed_although_the_server_was_restarted() -> None:
    assert [scan.file for scan in last_files([], "/data/old.h5")] == ["/data/old.h5"]
    assert [scan.file for scan in last_files([finished_line(_REPORT)], "/data/x.h5")] == [
        "/data/x.h5"
    ]
    assert last_files([], "") == ()


def test_a_trend_forgets_what_is_older_than_its_window() -> None:
    trend = Trend(window_s=10.0)
    for second in range(20):
        trend.add(float(second), float(second))

    assert trend.series()[0] == [float(second) for second in range(9, 20)]
    assert trend.newest() == 19.0


def test_a_trend_keeps_its_order_and_bounds_its_length() -> None:
    trend = Trend(window_s=1e9, longest=3)
    for at in (1.0, 2.0, 1.5, 3.0, 4.0):
        trend.add(at, at)

    assert trend.series() == ([2.0, 3.0, 4.0], [2.0, 3.0, 4.0])


def test_the_line_of_a_trend_has_a_gap_where_nothing_is_known() -> None:
    trend = Trend()
    trend.interrupt()
    trend.add(1.0, 5.0)
    trend.interrupt()
    trend.interrupt()
    trend.add(2.0, 6.0)

    values = trend.series()[1]
    assert len(values) == 3
    assert math.isnan(values[1])


def test_a_file_that_cannot_be_opened_is_told_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "x.h5"

    assert "pip install" in why_not("", str(file))
    assert why_not("/bin/silx", "") != ""
    assert str(file) in why_not("/bin/silx", str(file))
    file.touch()
    assert why_not("/bin/silx", str(file)) == ""


def test_silx_that_ends_by_itself_is_told_with_its_last_words() -> None:
    trace = "Traceback:\n  File x\nModuleNotFoundError: No module named 'qtawesome'\n"

    assert why_ended(1, trace).endswith("ModuleNotFoundError: No module named 'qtawesome'")
    assert "3" in why_ended(3, "")
    assert why_ended(0, "a warning\n") == ""


def test_a_saver_is_told_in_one_line() -> None:
    assert summary(_VALUES) == "RUNNING · 3_ascan 40 %, 4_timescan length unknown · 12.3 MB/s"
    assert summary({"State": "ON", "LastFile": "/data/x.h5"}) == "ON · /data/x.h5"
    assert summary(_VALUES, "gone") == "No contact: gone"
