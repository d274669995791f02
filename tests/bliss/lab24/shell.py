"""The shell of BLISS 2.4: see ``tests/bliss/shell.py``."""

import runpy
import sys
from pathlib import Path

import bliss  # noqa: F401 - prepares Python for greenlets, before anything has locks

sys.path.insert(0, str(Path(__file__).parent))

import stand_ins  # noqa: F401 - before the parts of BLISS that need them

runpy.run_path(str(Path(__file__).parents[1] / "shell.py"), run_name="__main__")
