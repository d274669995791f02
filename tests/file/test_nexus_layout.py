from __future__ import annotations

from pathlib import Path

import pytest
from file.compare import compare
from file.plan_interpreter import PlanInterpreter
from file.recorded import RecordedScan, recorded_scans

from tango_saver.layout import Moment, plan_scan
from tango_saver.model.plan import FilePlan

GOLDEN = Path(__file__).parent / "golden"
RECORDINGS = (
    "ascan", "a2scan_pseudo", "lookupscan", "amesh", "loopscan_modes", "samples", "ct_saved",
    "ct_unsaved", "mca", "two_timers", "stepper_and_timer", "timescan_aborted", "scan_raises",
    "prepare_fails", "positioners_move", "quick200", "parallel", "long_flat", "uneven", "no_data",
    "dtypes", "plotselect", "metadata",
)  # fmt: skip
NOW = "2026-11-24T17:00:00+00:00"


def opening_plan(scan: RecordedScan) -> FilePlan:
    return plan_scan("nexus", scan.opening, Moment("RUNNING", NOW))


def closing_plan(scan: RecordedScan) -> FilePlan:
    moment = Moment("SUCCEEDED", NOW, end_time=NOW, n_points=scan.n_points)
    return plan_scan("nexus", scan.closing, moment)


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_object_of_the_golden_file_is_planned(
    name: str, recordings: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    interpreter = PlanInterpreter(ours)
    for scan in recorded_scans(recordings / f"{name}.json.gz"):
        if scan.closing.saved:
            plan = opening_plan(scan)
            interpreter.open_scan(plan)
            interpreter.write_points(plan, scan.points)
            interpreter.close_scan(closing_plan(scan))
    interpreter.close()
    golden = next(GOLDEN.glob(f"{name}.h5*"))
    assert compare(golden, ours, name) == []
