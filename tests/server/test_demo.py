from __future__ import annotations

from pathlib import Path

import pytest

from tango_saver.demo.run import run_demo


@pytest.mark.tango
def test_the_demonstration_of_bliss_1_finds_every_value_in_its_files(tmp_path: Path) -> None:
    assert run_demo(tmp_path / "data", 0, "1")
