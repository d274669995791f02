"""The scenarios of the lab, and how one is run."""

from __future__ import annotations

from pathlib import Path

import h5py
from bliss.beamline import BlissShell

LAB = Path(__file__).parent
CAMERAS = ("lima_hdf5", "lima_edf", "lima_unsaved", "lima_short", "lima2_hdf5")
SCENARIOS = {
    "plain_scans": (
        "ascan", "a2scan_pseudo", "loopscan_modes", "samples", "amesh", "lookupscan", "ct_saved",
        "ct_unsaved", "mca", "two_timers", "stepper_and_timer", "sequence", "metadata",
        "positioners_move", "quick200", "parallel", "esrf_policy", "plots", "plotselect",
        "separate_files",
    ),
    "odd_scans": (
        "timescan_aborted", "scan_raises", "prepare_fails", "dtypes", "uneven", "no_data",
        "killed", "long_flat", "options",
    ),
    "camera_scans": CAMERAS,
}  # fmt: skip
"""By the module that has them."""
EACH = [(module, scenario) for module, scenarios in SCENARIOS.items() for scenario in scenarios]
"""Module and name."""
GIVEN_UP = frozenset({"killed"})
"""A writer that BLISS knows holds these scans until somebody stops it."""


def get_ready(session: BlissShell) -> None:
    """Let the session know the scenarios, and save as they expect."""
    session.enter(f"import sys; sys.path.append({str(LAB)!r})")
    session.enter(f"import {', '.join(SCENARIOS)}")
    session.enter("SCAN_SAVING.writer = 'nexus'")
    session.enter("SCAN_SAVING.template = ''; SCAN_SAVING.data_filename = 'data'")


def run(session: BlissShell, module: str, scenario: str, root: Path) -> None:
    """Run the scans of a scenario into a folder of its own below ``root``.

    Raises:
        BlissError: BLISS has stopped them.
    """
    images = "images/" if scenario in CAMERAS else ""
    session.enter(f"SCAN_SAVING.images_path_template = '{images}scan{{scan_number}}'")
    session.enter(f"SCAN_SAVING.base_path = {str(root / scenario)!r}")
    session.enter(f"{module}.{scenario}()")


def files_of_writers(root: Path) -> list[Path]:
    """The files that a writer has made, in its own folder."""
    return sorted(
        path.relative_to(root) for path in root.rglob("*.h5") if "images" not in path.parts
    )


def finished(file: Path) -> dict[str, bool]:
    """The entries of a file that are no links, and whether each is complete."""
    try:
        with h5py.File(file, "r", locking=False) as opened:
            own = [n for n in opened if isinstance(opened.get(n, getlink=True), h5py.HardLink)]
            return {name: "end_time" in opened[name] for name in own}
    except (OSError, KeyError, RuntimeError):  # it is being made or flushed
        return {"": False}


def creator(file: Path) -> str:
    """The program that made a file."""
    with h5py.File(file, locking=False) as opened:
        return str(opened.attrs["creator"])
