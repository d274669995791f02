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
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path
from tempfile import TemporaryDirectory

LAB = Path(__file__).parent / "lab"
LAB24 = Path(__file__).parent / "lab24"
"""Each has a file of requirements."""
PYTHON_VERSION = (3, 11)


class NoEnvironmentError(Exception):
    """BLISS cannot be installed here; the text is the reason."""


def default_folder(lab: Path = LAB) -> Path:
    """Where the environment of a lab is kept between runs."""
    given = os.environ.get("BLISS_ENVIRONMENT")
    if given and lab == LAB:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tango_saver" / f"bliss-{pinned(lab)['bliss']}"


def pinned(lab: Path = LAB) -> dict[str, str]:
    """Every package of the requirements; its version, or nothing."""
    text = (lab / "requirements.txt").read_text()
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return {name: version for name, _, version in (line.partition("==") for line in lines if line)}


def is_complete(folder: Path, lab: Path = LAB) -> bool:
    """Whether the environment is there; BLISS itself is installed last."""
    return any(
        Distribution.at(path).version == pinned(lab)["bliss"]
        for path in folder.glob("lib/python*/site-packages/bliss-*.dist-info")
    )


def find_python(bliss: str) -> str:
    """An interpreter of the version that the packages of BLISS have wheels for.

    Raises:
        NoEnvironmentError: there is none.
    """
    name = "python{}.{}".format(*PYTHON_VERSION)
    if sys.version_info[:2] == PYTHON_VERSION:
        return sys.executable
    found = shutil.which(name)
    if found is None:
        raise NoEnvironmentError(f"BLISS {bliss} needs {name}, which is not installed")
    return found


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in lines if line.startswith("ERROR")), " ".join(lines[-3:]))
        raise NoEnvironmentError(f"the environment of BLISS cannot be made: {reason}")


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _needed(python: Path, packages: Sequence[str]) -> list[str]:
    """What these packages ask for, without those that our requirements decide about."""
    decided = set(map(_name, packages))
    with TemporaryDirectory() as folder:
        _run(python, "-m", "pip", "install", "--no-deps", "--target", folder, *packages)
        asked = [
            requirement
            for metadata in Path(folder).glob("*.dist-info")
            for requirement in Distribution.at(metadata).requires or []
        ]
    return [
        requirement
        for requirement in asked
        if "extra ==" not in requirement and _name(requirement) not in decided
    ]


def make(folder: Path, lab: Path = LAB) -> Path:
    """The interpreter of the environment; made if it is not there yet.

    Raises:
        NoEnvironmentError: no Python of that version, or a package cannot be had.
    """
    python = folder / "bin" / "python"
    wanted = pinned(lab)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(folder, lab):
            return python
        _run(find_python(wanted["bliss"]), "-m", "venv", "--clear", folder)
        packages = [f"{name}=={version}" if version else name for name, version in wanted.items()]
        _run(python, "-m", "pip", "install", *_needed(python, packages))
        # last, over what others have brought; the completeness is read off BLISS
        packages.sort(key=lambda package: _name(package) == "bliss")
        _run(python, "-m", "pip", "install", "--no-deps", *packages[:-1])
        _run(python, "-m", "pip", "install", "--no-deps", packages[-1])
    return python


if __name__ == "__main__":
    interpreter = make(Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder())
    print(interpreter)  # noqa: T201 - the answer of this program
