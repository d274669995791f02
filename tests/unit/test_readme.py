"""README names what the device has, as it has it; all of it is in the reference."""

import re
from pathlib import Path

import pytest
from tango.server import attribute, device_property

from tango_saver.control.attributes import ShowingDevice
from tango_saver.control.device import TangoSaver
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.model.status import SaverState

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def table(heading: str) -> set[str]:
    """Names in the first column of the table under a heading."""
    section = README.split(f"### {heading}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def members(owner: type, kind: type) -> set[str]:
    return {name for name, member in vars(owner).items() if isinstance(member, kind)}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Attributes", members(ShowingDevice, attribute)),
        ("Properties", members(TangoSaver, device_property)),
    ],
)
def test_what_is_named_exists(heading: str, names: set[str]) -> None:
    assert len(table(heading)) > 5
    assert table(heading) <= names


def test_every_state_is_in_the_table() -> None:
    assert table("States") == {state.value for state in SaverState}


def test_every_command_is_in_the_table() -> None:
    commands = {
        name for name, member in vars(TangoSaver).items() if hasattr(member, "__tango_command__")
    }

    assert {"Start", "Stop"} <= commands
    assert table("Commands") == commands | {"Init"}


@pytest.mark.parametrize("face", [NexusWriter, BlissWriter])
def test_writers_of_the_devices_that_bliss_calls_are_as_documented(face: type) -> None:
    section = README.split("### The devices that BLISS calls\n")[1].split("\n#")[0]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{face.__name__}`"))

    assert set(re.findall(r"`(\w+)`", row)) == {face.__name__, *face.own_writers}


def test_defaults_of_the_properties_are_as_in_the_reference() -> None:
    reference = (ROOT / "resources" / "docs" / "reference.md").read_text()
    for name in table("Properties"):
        shown = re.search(rf"^\| `{name}` \| (.*?) \|", README, re.MULTILINE)
        true = re.search(rf"^\| all \| `{name}` \| \w+ \| (.*?) \|", reference, re.MULTILINE)

        assert shown is not None
        assert true is not None
        assert shown[1] == true[1], name
