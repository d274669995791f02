"""Plans of recorded scans in words; the texts in ``explained/`` are what they must say."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tango_saver.cli import app
from tango_saver.engine.explain import explain
from tango_saver.model.settings import SaverSettings

EXPLAINED = Path(__file__).parent / "explained"
NAMES = (
    "amesh", "ascan", "bliss24_mapping", "dtypes", "h5maps", "lima_edf", "lima_hdf5", "mca",
    "no_data", "samples", "two_timers",
)  # fmt: skip


def told(what: Path | str, **settings: str) -> str:
    chosen = SaverSettings(layout="auto", **settings)  # type: ignore[arg-type]
    return "\n".join(explain(str(what), chosen))


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_scan_is_explained(name: str, recordings: Path) -> None:
    expected = (EXPLAINED / f"{name}.txt").read_text()
    assert told(recordings / f"{name}.json.gz") == expected


def test_every_recording_can_be_explained(recordings: Path) -> None:
    for recording in recordings.glob("*.json.gz"):
        assert told(recording).startswith(("scan ", "The session does not want"))


def test_the_command_explains_in_the_wanted_layout(recordings: Path) -> None:
    result = CliRunner().invoke(
        app, ["explain", str(recordings / "h5maps.json.gz"), "--layout", "nexus"]
    )
    assert result.exit_code == 0
    assert "layout   nexus" in result.stdout
    assert "channel  mca:spectrum" in result.stdout


def test_a_mesh_is_explained_on_its_grid_where_the_saver_shows_it_so(recordings: Path) -> None:
    result = CliRunner().invoke(
        app, ["explain", str(recordings / "amesh.json.gz"), "--layout", "auto", "--keepshape"]
    )
    assert result.stdout == (EXPLAINED / "amesh_keepshape.txt").read_text() + "\n"


@pytest.mark.parametrize(
    ("option", "recording", "told_then"),
    [
        ("--multivalue-positioners", "a2scan_pseudo", "/2.1/instrument/axis/value"),
        ("--checksums", "amesh", "checksum"),
        ("--edf-pixels", "lima_edf", "pixels   /"),
    ],
)
def test_what_else_decides_the_form_of_files_is_explained(
    option: str, recording: str, told_then: str, recordings: Path
) -> None:
    arguments = ["explain", str(recordings / f"{recording}.json.gz"), "--layout", "nexus"]
    plain = CliRunner().invoke(app, arguments)
    chosen = CliRunner().invoke(app, [*arguments, option])
    assert plain.exit_code == chosen.exit_code == 0
    assert told_then not in plain.stdout
    assert told_then in chosen.stdout


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["nowhere.json.gz"], "is not a recording"),
        (["esrf:scan:X", "--redis", "redis://127.0.0.1:1"], "Redis does not answer"),
        (["esrf:scan:X", "--redis", "papyrus"], "papyrus"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(arguments: list[str], fact: str) -> None:
    result = CliRunner().invoke(app, ["explain", *arguments])
    assert result.exit_code == 1
    assert fact in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_unknown_layout_is_refused(recordings: Path) -> None:
    result = CliRunner().invoke(
        app, ["explain", str(recordings / "ascan.json.gz"), "--layout", "papyrus"]
    )
    assert result.exit_code == 1
    assert "papyrus" in result.stderr
