from __future__ import annotations

from pathlib import Path

import pytest
from file.intended_differences import ELSEWHERE, INTENDED, is_added, rendered

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT / "resources" / "recordings"


def test_the_table_in_the_documentation_is_the_one_of_the_tests() -> None:
    shown = (ROOT / "resources" / "docs" / "intended_differences.md").read_text()
    assert shown == rendered()


def test_every_difference_is_of_a_recording_and_has_a_reason() -> None:
    recorded = {path.name.split(".")[0] for path in RECORDINGS.glob("bliss2/*.json.gz")}
    for item in INTENDED:
        # Those of BLISS 1 name a layout, too: "bliss1/<recording>/<layout>".
        assert item.recording in recorded or item.recording.startswith("bliss1/")
        assert item.reason


@pytest.mark.parametrize("test", [test for _, _, test in ELSEWHERE])
def test_what_no_golden_file_shows_has_a_test(test: str) -> None:
    assert (ROOT / test).exists()


def test_an_addition_that_nobody_intended_is_none_of_the_table() -> None:
    assert is_added("ascan", "/1.1/plot")
    assert not is_added("ascan", "/1.1/instrument/diode/signal")
    assert not is_added("ascan", "/1.1/measurement/diode")
    assert not is_added("ascan", "/1.1/instrument/diode/signal@units")
