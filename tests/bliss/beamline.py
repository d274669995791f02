"""A beamline of real BLISS: Beacon with its Tango database, and a shell to type into."""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Any, Self

import numpy as np
import tango

from tango_saver.demo.processes import ServerProcess
from tango_saver.demo.redis_server import free_port

HERE = Path(__file__).parent
SESSION = "demo"
DEVICE = "demo/tango_saver/demo"
SERVER_INSTANCE = "demo"
_ANSWER_TIMEOUT_S = 240.0
_PATIENCE_S = 60.0


class BlissError(Exception):
    """What was typed into the shell raised; the text is what the user reads."""


@dataclass(frozen=True, slots=True)
class ReturnedChannel:
    """One channel of a scan as BLISS returns it to its user."""

    values: np.ndarray | list[np.ndarray]
    """One array, or one for each point where the points differ in shape."""
    published: int
    """Points that are in Redis."""
    data_path: str
    """Where BLISS itself says that the values lie in the file."""
    unit: str | None


@dataclass(frozen=True, slots=True)
class ReturnedScan:
    """A finished scan as BLISS returns it to its user."""

    key: str
    number: int
    name: str
    state: str
    info: dict[str, Any]
    channels: dict[str, ReturnedChannel]

    @property
    def file(self) -> Path:
        """Where BLISS says that the scan is saved."""
        return Path(self.info["filename"])

    @property
    def entry(self) -> str:
        """The entry of its only top master."""
        return f"{self.number}.1"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition holds; ``what`` names it in the failure."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {_PATIENCE_S:.0f} s"
        time.sleep(0.05)


@contextmanager
def changed_properties(device: tango.DeviceProxy, **properties: str) -> Iterator[None]:
    """Device properties that hold for a while."""
    before = {name: list(device.get_property(name)[name]) for name in properties}
    device.put_property({name: [value] for name, value in properties.items()})
    device.Init()
    try:
        yield
    finally:
        device.delete_property([name for name, values in before.items() if not values])
        device.put_property({name: values for name, values in before.items() if values})
        device.Init()


def bliss_environment(python: Path, beacon_port: int, tango_port: int) -> dict[str, str]:
    """The environment variables of every process of BLISS."""
    return {
        "BEACON_HOST": f"localhost:{beacon_port}",
        "TANGO_HOST": f"localhost:{tango_port}",
        "PATH": f"{python.parent}:/usr/bin:/bin",  # Beacon starts its helpers by name
        # ours is there as after pip install --no-deps
        "PYTHONPATH": f"{HERE / 'lab' / 'stubs'}:{HERE.parents[1]}",
        "PYTHONWARNINGS": "ignore",
    }


class Beacon(ServerProcess):
    """BLISS's configuration server with its Tango database.

    Args:
        python: interpreter of the environment of BLISS.
        folder: for the configuration and the log.
        data_redis: URL of the Redis server that scans are published in.
        settings_redis: URL of the one that keeps the settings of the session.
        names: what the configuration needs to know, by placeholder.
        lab: folder whose ``beacon`` is the configuration.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        data_redis: str,
        settings_redis: str,
        names: Mapping[str, str],
        lab: Path = HERE / "lab",
    ) -> None:
        configuration = folder / "beacon"
        for source in (lab / "beacon").rglob("*"):
            target = configuration / source.relative_to(lab / "beacon")
            if source.is_file() and source.suffix in {".yml", ".py"}:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(Template(source.read_text()).substitute(names))
        port, tango_port = free_port(), free_port()
        self.address = f"localhost:{port}"
        self.host = f"localhost:{tango_port}"
        self.environment = bliss_environment(python, port, tango_port)
        command = [
            str(python.parent / "beacon-server"), f"--db-path={configuration}",
            "--redis-address", settings_redis, "--redis-data-address", data_redis,
            "--port", str(port), "--tango-port", str(tango_port),
            "--homepage-port", "0", "--log-server-port", "0", "--log-viewer-port", "0",
        ]  # fmt: skip
        self._tango_port = tango_port
        super().__init__(command, folder / "beacon.log", self.environment)

    def ready(self) -> bool:
        """Whether its Tango database answers."""
        try:
            tango.Database("localhost", self._tango_port).get_device_info(DEVICE)
        except tango.DevFailed:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Beamline:
    """The servers of BLISS, and where its scans go."""

    beacon: Beacon
    redis_url: str
    data_root: Path


class BlissShell:
    """The session of a user; what is typed runs in real BLISS, in a process of its own.

    Args:
        python: interpreter of the environment of BLISS.
        environment: environment variables that lead it to its Beacon and its Tango database.
        folder: for its log and the arrays of its scans.
        lab: folder of its ``shell.py``.
    """

    def __init__(
        self, python: Path, environment: Mapping[str, str], folder: Path, lab: Path = HERE
    ) -> None:
        self._folder = folder
        self._log = folder / "shell.log"
        command = [str(python), str(lab / "shell.py"), SESSION, str(folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=dict(environment), cwd=folder, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _ANSWER_TIMEOUT_S)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            self.close()
            raise BlissError(f"BLISS gives no answer: {self._log.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def enter(self, line: str) -> Any:
        """The value of what a user types; a scan comes as a ReturnedScan.

        Raises:
            BlissError: it raised, or BLISS does not answer.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        answer = self._answer()
        if "error" in answer:
            raise BlissError(answer["error"])
        return _returned_scan(answer["scan"]) if "scan" in answer else answer["value"]

    def close(self) -> None:
        """End the session as a user does, by the end of input; idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _values(arrays: np.lib.npyio.NpzFile, name: str) -> np.ndarray | list[np.ndarray]:
    lengths = f"{name} lengths"
    if lengths not in arrays:
        return arrays[name]
    return np.split(arrays[name], np.cumsum(arrays[lengths])[:-1])


def _returned_scan(answer: dict[str, Any]) -> ReturnedScan:
    with np.load(answer["arrays"]) as arrays:
        channels = {
            name: ReturnedChannel(
                values=_values(arrays, name),
                published=channel["published"],
                data_path=channel["data_path"],
                unit=channel["unit"],
            )
            for name, channel in answer["channels"].items()
        }
    return ReturnedScan(
        key=answer["key"],
        number=answer["number"],
        name=answer["name"],
        state=answer["state"],
        info=answer["info"],
        channels=channels,
    )
