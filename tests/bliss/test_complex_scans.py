"""The example's complex scans in a session of BLISS 2."""

from __future__ import annotations

from pathlib import Path

import pytest
import tango
from bliss.beamline import BlissShell, wait_until

pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "resources" / "examples"


@pytest.fixture(scope="module")
def typing(session: BlissShell) -> BlissShell:
    """A shell that has the example at hand."""
    session.enter("import sys")
    session.enter(f"sys.path.insert(0, {str(EXAMPLES)!r})")
    session.enter("import complex_scans")
    return session


@pytest.mark.parametrize(
    ("line", "n_scans"),
    [
        ("complex_scans.step_scan(robx, diode)", 1),
        ("complex_scans.spectra(robx, mca)", 1),
        ("complex_scans.two_top_masters(diode, diode2)", 1),
        ("complex_scans.endless_scan(diode)", 1),
        ("complex_scans.samples(diode3)", 1),
        ("complex_scans.sequence(robx, diode)", 3),
    ],
)
def test_a_complex_scan_is_saved_completely(
    line: str, n_scans: int, typing: BlissShell, saver: tango.DeviceProxy
) -> None:
    before = saver.ScansSaved
    typing.enter(f"done = {line}")
    wait_until(lambda: saver.ScansSaved == before + n_scans, "all scans saved")
    assert saver.ScansFailed == 0
    assert saver.PointsLost == 0
