"""The containers: what must not drift away from the product."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tango_saver.control.device import TangoSaver
from tango_saver.control.register import SERVER_NAME

_ROOT = Path(__file__).parents[2]
_DOCKERFILE = (_ROOT / "docker" / "Dockerfile").read_text()
_SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(
    (_ROOT / "docker" / "compose.yaml").read_text()
)["services"]


def _command(service: str) -> list[str]:
    return list(_SERVICES[service]["command"])


def test_every_service_runs_a_program_that_its_image_has() -> None:
    scripts = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    programs = {*scripts, "python", "tango-mariadb"}

    assert {_command(name)[0] for name in _SERVICES if "command" in _SERVICES[name]} <= programs
    assert "/usr/local/bin/tango-mariadb" in _DOCKERFILE


def test_the_server_that_runs_is_the_one_that_is_registered() -> None:
    registered = _command("register")

    assert _command("saver") == [SERVER_NAME, registered[registered.index("--instance") + 1]]


def test_running_scans_get_their_time_before_the_container_is_killed() -> None:
    grace = _SERVICES["saver"]["stop_grace_period"]

    assert float(grace.removesuffix("s")) > TangoSaver.finish_timeout.default_value + 10


def test_every_image_is_made_from_the_base_that_the_builder_chooses() -> None:
    bases = re.findall(r"^FROM (\S+)", _DOCKERFILE, re.MULTILINE)

    assert len(bases) > 1
    assert set(bases) == {"${BASE}"}


def test_the_context_of_the_build_holds_all_that_is_copied() -> None:
    allowed = (_ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", _DOCKERFILE, re.MULTILINE)

    assert copied
    for name in " ".join(copied).split():
        assert (_ROOT / name).exists()
        assert f"!{name}" in allowed
