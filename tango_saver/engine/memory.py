"""What survives a restart: last file, place in the history of scans, newest reports."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from tango_saver.errors import ConfigurationError
from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings


class Memory(msgspec.Struct, frozen=True):
    """The content of the file."""

    session: str
    redis_url: str
    last_file: str = ""
    last_entry: str = ""
    """Place in the history of scans up to which everything was announced."""
    finished: tuple[ScanReport, ...] = ()
    """Newest first."""


def default_folder() -> Path:
    """``$XDG_STATE_HOME/tango_saver`` or ``~/.local/state/tango_saver``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tango_saver"


class MemoryFile:
    """One JSON file per session and Redis, always whole."""

    def __init__(self, settings: SaverSettings) -> None:
        folder = settings.state_directory
        self._session, self._redis_url = settings.session, settings.redis_url
        name = re.sub(r"[^A-Za-z0-9_-]", "_", settings.session)[:64]
        identity = f"{settings.session}\n{settings.redis_url}".encode()
        digest = hashlib.sha256(identity).hexdigest()[:12]
        self.path = (Path(folder) if folder else default_folder()) / f"{name}-{digest}.json"

    def load(self) -> Memory:
        """The last content, an empty one if there is none.

        Raises:
            ConfigurationError: the file cannot be read or understood.
        """
        try:
            content = msgspec.json.decode(self.path.read_bytes(), type=Memory)
        except FileNotFoundError:
            return Memory(self._session, self._redis_url)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigurationError(
                f"{self.path} cannot be read: {error}",
                advice="The last file and the earlier reports are forgotten",
            ) from error
        return content

    def save(self, last_file: str, last_entry: str, finished: tuple[ScanReport, ...]) -> None:
        """Replace the content.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        memory = Memory(self._session, self._redis_url, last_file, last_entry, finished)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self.path.parent, prefix=self.path.name, delete=False
            ) as file:
                file.write(msgspec.json.encode(memory))
            Path(file.name).replace(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"state_directory {self.path.parent} cannot be written: {error.strerror}",
                advice="The last file will be forgotten at a restart; give a folder of its own",
            ) from error


class MemoryKeeper:
    """Writes the newest content in a thread: the folder may lie on a disk that hangs.

    Args:
        file: where to.
        tell: called from the thread with a sentence when writing fails, and with an empty one
            when it works again.
    """

    def __init__(self, file: MemoryFile, tell: Callable[[str], None]) -> None:
        self._file = file
        self._tell = tell
        self._changed = threading.Condition()
        self._content: tuple[str, str, tuple[ScanReport, ...]] | None = None
        self._closing = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def put(self, last_file: str, last_entry: str, finished: tuple[ScanReport, ...]) -> None:
        """Have this written soon; returns at once."""
        with self._changed:
            self._content = last_file, last_entry, finished
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Wait until all is written, at most so long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._content is None and not self._closing:
                    self._changed.wait()
                content, self._content = self._content, None
            if content is None:
                return
            try:
                self._file.save(*content)
            except ConfigurationError as error:
                self._failed = True
                self._tell(str(error))
            else:
                if self._failed:
                    self._failed = False
                    self._tell("")
