"""Which tests hold which recordings against their golden files, at both speeds."""

from __future__ import annotations

from pathlib import Path

from server.test_images import WITH_IMAGES
from server.test_recordings import SAVED

RECORDINGS = Path(__file__).parents[2] / "resources" / "recordings" / "bliss2"
SAVED_FLAT_OUT_AND_AS_RECORDED = {
    "server/test_recordings.py::test_a_recorded_scan_becomes_the_file_that_bliss_made": SAVED,
    "server/test_recordings.py::test_a_session_that_was_killed_leaves_a_clean_closed_file": (
        "killed",
    ),
    "server/test_images.py::test_recorded_images_are_shown_as_in_the_golden_file": WITH_IMAGES,
    "server/test_images.py::test_lima2_of_protocol_2_is_shown_through_its_master_file": (
        "lima2_v2",  # there is no golden file: every pixel is compared instead
    ),
    "server/test_h5maps.py::test_a_map_of_every_item_becomes_the_files_that_it_describes": (
        "h5maps",
    ),
    "server/test_h5maps.py::test_mapped_scans_of_real_bliss_become_the_file_that_its_writer_made": (
        "bliss24_mapping",
    ),
}


def test_every_recording_is_saved_flat_out_and_as_recorded_by_one_test() -> None:
    saved = [name for names in SAVED_FLAT_OUT_AND_AS_RECORDED.values() for name in names]
    assert sorted(saved) == sorted(path.name.split(".")[0] for path in RECORDINGS.iterdir())


def test_each_of_these_tests_exists_and_runs_at_both_speeds() -> None:
    for place in SAVED_FLAT_OUT_AND_AS_RECORDED:
        file, name = place.split("::")
        text = (Path(__file__).parents[1] / file).read_text()
        decorators = text.split(f"def {name}(")[0].rsplit("\n\n\n", 1)[1]
        assert 'parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])' in decorators
