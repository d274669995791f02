"""Makes the environment that real BLISS 1 runs in, from package names, and keeps it.

Usage: python environment.py [FOLDER]

FOLDER is by default that of the variable BLISS1_ENVIRONMENT, else one in the user's cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LAB = Path(__file__).parent / "lab"
PYTHON_VERSION = "3.9"
"""The newest that BLISS 1.11 runs with."""


class NoEnvironmentError(Exception):
    """BLISS 1 cannot be installed here; the text is the reason."""


def default_folder() -> Path:
    """Where the environment is kept between runs."""
    given = os.environ.get("BLISS1_ENVIRONMENT")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "tango_saver" / "bliss-1.11.4"


def _candidates() -> Iterator[str]:
    found = shutil.which(f"python{PYTHON_VERSION}")
    if found:
        yield found
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(versions.glob(f"{PYTHON_VERSION}.*")):
        yield str(folder / "bin" / "python")


def find_python() -> str:
    """An interpreter of that version.

    Raises:
        NoEnvironmentError: there is none.
    """
    for candidate in _candidates():
        code = f"import sys; sys.exit(not sys.version.startswith('{PYTHON_VERSION}.'))"
        # A launcher of several versions may be there without this one.
        if not subprocess.run([candidate, "-c", code], capture_output=True, check=False).returncode:
            return candidate
    raise NoEnvironmentError(f"BLISS 1 needs Python {PYTHON_VERSION}, which is not installed")


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in lines if line.startswith("ERROR")), " ".join(lines[-3:]))
        raise NoEnvironmentError(f"the environment of BLISS 1 cannot be made: {reason}")


def make(folder: Path) -> Path:
    """The interpreter of the environment; made if it is not there yet.

    Raises:
        NoEnvironmentError: no Python of that version, or a package cannot be had.
    """
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("lib/python*/site-packages/bliss-1.11.4.dist-info")):
            _run(find_python(), "-m", "venv", "--clear", folder)
            _run(python, "-m", "pip", "install", "-r", LAB / "requirements.txt")
    return python


if __name__ == "__main__":
    interpreter = make(Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder())
    print(interpreter)  # noqa: T201 - the answer of this program
