"""The Tango side of the embedded beamline: a database and the device server, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import tango

from tango_saver.demo.lifetime import Lifetime
from tango_saver.demo.redis_server import free_port
from tango_saver.errors import ConfigurationError

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0


def executable(name: str) -> Path:
    """A console script of the environment that this Python runs in.

    Raises:
        ConfigurationError: there is none of that name.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise ConfigurationError(
            f"there is no program {name} in {path.parent}",
            advice="pip install 'tango-saver[demo]'",
        )
    return path


class ServerProcess(Lifetime):
    """A server in a process of its own; ends with the ``with`` block.

    Args:
        command: program and arguments.
        log: file that takes what it prints.
        environment: added to that of this process.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            ConfigurationError: it ended, or is not ready in time; with the end of its log.
        """
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=self._environment
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ConfigurationError(
                    f"{self._command[0]} did not start: {self.log.read_text()[-800:]}"
                )
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether clients can use it."""
        return True

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        if self._process is None:
            raise ConfigurationError(f"{self._command[0]} is not running")
        return self._process.pid

    def stop(self) -> int | None:
        """End it as the operating system does (SIGTERM); returns the exit code, idempotent."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class TangoDatabase(ServerProcess):
    """A Tango database that keeps its content in memory.

    Args:
        folder: where its log goes.
        port: TCP port on localhost, 0 for a free one.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        super().__init__(
            [str(executable("PyDatabaseds")), "--host", "127.0.0.1", "--port", str(self.port), "2"],
            folder / "tango_database.log",
            {"TANGO_HOST": self.host, "PYTANGO_DATABASE_NAME": ":memory:"},
        )

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            tango.Database("127.0.0.1", self.port).get_info()
        except tango.DevFailed:
            return False
        return True


class SaverServer(ServerProcess):
    """The device server ``TangoSaver`` as Starter would run it.

    Args:
        database: where the device is registered.
        instance: name of the server's instance, ``TangoSaver/<instance>``.
        device: full name of its device.
        folder: where its log goes.
        environment: added to that of this process.
    """

    def __init__(
        self,
        database: TangoDatabase,
        instance: str,
        device: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            [str(executable("TangoSaver")), instance],
            folder / f"TangoSaver_{instance}.log",
            {"TANGO_HOST": database.host, **(environment or {})},
        )
        self.device = f"tango://{database.host}/{device}"
        self._admin = f"tango://{database.host}/dserver/TangoSaver/{instance}"

    def ready(self) -> bool:
        """Whether the device answers and its events can be subscribed."""
        try:
            tango.DeviceProxy(self.device).ping()
            tango.DeviceProxy(self._admin).ping()
        except tango.DevFailed:
            return False
        return True
