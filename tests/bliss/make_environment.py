"""Makes the environment that real BLISS runs in, from package names, and keeps it.

Usage: python make_environment.py [FOLDER]

FOLDER is by default that of the variable BLISS_ENVIRONMENT, else one in the user's cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from tempfile import TemporaryDirectory

REQUIREMENTS = Path(__file__).parent / "lab" / "requirements.txt"
PYTHON_VERSION = (3, 11)


class NoEnvironmentError(Exception):
    """BLISS cannot be installed here; the text is the reason."""


def default_folder() -> Path:
    """Where the environment is kept between runs."""
    given = os.environ.get("BLISS_ENVIRONMENT")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "tango_saver" / "bliss-2.2.1"


def pinned() -> dict[str, str]:
    """Every package of the requirements; its version, or nothing."""
    lines = (line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return {name: version for name, _, version in (line.partition("==") for line in lines if line)}


def is_complete(folder: Path) -> bool:
    """Whether the environment is there; BLISS itself is installed last."""
    return any(
        Distribution.at(path).version == pinned()["bliss"]
        for path in folder.glob("lib/python*/site-packages/bliss-*.dist-info")
    )


def find_python() -> str:
    """An interpreter of the version that the packages of BLISS have wheels for.

    Raises:
        NoEnvironmentError: there is none.
    """
    name = "python{}.{}".format(*PYTHON_VERSION)
    if sys.version_info[:2] == PYTHON_VERSION:
        return sys.executable
    found = shutil.which(name)
    if found is None:
        raise NoEnvironmentError(f"BLISS {pinned()['bliss']} needs {name}, which is not installed")
    return found


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in lines if line.startswith("ERROR")), " ".join(lines[-3:]))
        raise NoEnvironmentError(f"the environment of BLISS cannot be made: {reason}")


def _needed_by_bliss(python: Path) -> list[str]:
    """What BLISS asks for, without the packages that our requirements decide about."""
    with TemporaryDirectory() as folder:
        _run(
            python, "-m", "pip", "install", "--no-deps", "--target", folder,
            f"bliss=={pinned()['bliss']}",
        )  # fmt: skip
        metadata = next(Path(folder).glob("bliss-*.dist-info"))
        requirements = Distribution.at(metadata).requires or []
    return [
        requirement
        for requirement in requirements
        if "extra ==" not in requirement
        and re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() not in pinned()
    ]


def make(folder: Path) -> Path:
    """The interpreter of the environment; made if it is not there yet.

    Raises:
        NoEnvironmentError: no Python of that version, or a package cannot be had.
    """
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(folder):
            return python
        _run(find_python(), "-m", "venv", "--clear", folder)
        others = [
            f"{name}=={version}" if version else name
            for name, version in pinned().items()
            if name != "bliss"
        ]
        _run(python, "-m", "pip", "install", *others, *_needed_by_bliss(python))
        _run(python, "-m", "pip", "install", "--no-deps", f"bliss=={pinned()['bliss']}")
    return python


if __name__ == "__main__":
    interpreter = make(Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder())
    print(interpreter)  # noqa: T201 - the answer of this program
