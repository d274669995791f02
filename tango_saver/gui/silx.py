"""Whether a file can be opened in silx."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def silx_program() -> str:
    """Path of the program silx, of this environment or else of PATH; empty if there is none."""
    beside = Path(sys.executable).parent / "silx"
    return str(beside) if beside.exists() else shutil.which("silx") or ""


def why_not(program: str, file: str) -> str:
    """Why a file cannot be opened, and what to do; empty if it can.

    Args:
        program: path of silx, empty if it is not installed.
        file: empty if none is chosen.
    """
    if not program:
        return "silx is not installed: pip install 'silx[full-no-qt]'"
    if not file:
        return "No file is chosen"
    if not Path(file).exists():
        return f"{file} is not seen from this machine"
    return ""


def why_ended(code: int, errors: str) -> str:
    """Why silx has ended by itself; empty if it was closed.

    Args:
        code: exit code.
        errors: what it wrote to stderr.
    """
    lines = errors.strip().splitlines()
    return f"silx has failed: {lines[-1] if lines else f'exit code {code}'}" if code else ""
