"""The classic writer, and our saver with a data folder of its own at the same path."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import tango
from bliss.beamline import Beacon

from tango_saver.demo.processes import SaverServer, ServerProcess

CLASSIC_DEVICE = "demo/bliss_nxwriter/demo"
_OWN_FOLDER = """
own=$1 place=$2
shift 2
while [ "$1" != -- ]; do mount --bind "$place/$1" "$own/$1" || exit; shift; done
shift
mount --rbind "$own" "$place" && exec "$@"
"""


def with_own_folder(own: Path, place: Path, shared: Sequence[str], *command: str) -> list[str]:
    """A command whose process, and its children, see the folder ``own`` at the path ``place``.

    Args:
        own: the folder.
        place: a folder that all others see there.
        shared: folders in it that the process sees as all others do, relative.
        command: program and arguments.
    """
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    shell = ["sh", "-c", _OWN_FOLDER, "own-folder", str(own), str(place), *shared, "--"]
    return [*namespace, *shell, *command]


def can_have_own_folder(folder: Path) -> bool:
    """Whether the system lets us; containers often may not."""
    command = with_own_folder(folder, folder, [], "true")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class ClassicWriter(ServerProcess):
    """The NexusWriterService of the ESRF, release 2.0.0."""

    def __init__(self, python: Path, beacon: Beacon, folder: Path) -> None:
        service = python.parent / "NexusWriterService"
        command = [str(python), "-W", "ignore", str(service), "classic", "--log=info"]
        super().__init__(command, folder / "classic_writer.log", beacon.environment)
        self.device = f"tango://{beacon.host}/{CLASSIC_DEVICE}"

    def ready(self) -> bool:
        """Whether it listens to its session."""
        try:
            return bool(tango.DeviceProxy(self.device).state() == tango.DevState.ON)
        except tango.DevFailed:
            return False


class SaverBeside(SaverServer):
    """Our device server; what it saves below ``place`` goes to ``own`` in truth.

    Args:
        beacon: of the session.
        instance: name of the server's instance.
        device: full name of its device.
        folder: where its log goes.
        own: see ``with_own_folder``, as for the others.
        place: path that BLISS knows.
        shared: folders in it.
    """

    def __init__(
        self,
        beacon: Beacon,
        instance: str,
        device: str,
        folder: Path,
        *,
        own: Path,
        place: Path,
        shared: Sequence[str],
    ) -> None:
        super().__init__(beacon, instance, device, folder)
        self._command = with_own_folder(own, place, shared, *self._command)
