"""README's tables name what the device has, no more and no less."""

import re
from pathlib import Path

import pytest
from tango.server import attribute, device_property

from tango_saver.control.attributes import ShowingDevice
from tango_saver.control.device import TangoSaver
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.model.status import SaverState

README = (Path(__file__).parents[2] / "README.md").read_text()


def table(heading: str) -> set[str]:
    """First column of the table under a heading."""
    section = README.split(f"### {heading}\n")[1].split("\n#")[0]
    return set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))


def members(owner: type, kind: type) -> set[str]:
    return {name for name, member in vars(owner).items() if isinstance(member, kind)}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Attributes", members(ShowingDevice, attribute)),
        ("Properties", members(TangoSaver, device_property)),
        ("States", {state.value for state in SaverState}),
    ],
)
def test_the_table_is_complete(heading: str, names: set[str]) -> None:
    assert names
    assert table(heading) == names


def test_every_command_is_in_the_table() -> None:
    commands = {
        name for name, member in vars(TangoSaver).items() if hasattr(member, "__tango_command__")
    }

    assert {"Start", "Stop"} <= commands
    assert table("Commands") == commands | {"Init"}


@pytest.mark.parametrize("face", [NexusWriter, BlissWriter])
def test_what_the_writers_have_besides_is_in_their_table(face: type) -> None:
    section = README.split("### The writers that BLISS calls\n")[1].split("\n#")[0]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{face.__name__}`"))
    own = {
        name
        for name in dir(face)
        if isinstance(member := getattr(face, name), attribute)
        or hasattr(member, "__tango_command__")
        if member is not getattr(TangoSaver, name, None)
    }

    assert set(re.findall(r"`(\w+)`", row)) == own | {face.__name__, *face.own_writers}


def test_defaults_of_the_properties_are_as_documented() -> None:
    for name in members(TangoSaver, device_property):
        default = getattr(TangoSaver, name).default_value
        shown = re.search(rf"^\| `{name}` \| (.*?) \|", README, re.MULTILINE)

        assert shown is not None
        if isinstance(default, float):
            assert float(shown[1]) == default
        elif default in ("", []):
            assert shown[1] == "empty"
