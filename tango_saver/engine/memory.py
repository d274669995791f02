"""What survives a restart: running scans, place in the history of scans, newest reports."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from tango_saver.engine.listener import entry_order
from tango_saver.engine.messages import LinkScan, SaveScan
from tango_saver.errors import ConfigurationError
from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings

_MOST_SLOTS = 16
"""Savers of one session and Redis that may be alive at once."""
_RECALLED = 20
"""Reports that survive a restart."""
_REST = (4, 1.0)
"""Pause between two writings: so many times what one took, and at most so many seconds. Nothing
is lost by it: the place in the history and the scans before it are written together."""


class Memory(msgspec.Struct, frozen=True):
    """The content of one file."""

    session: str
    redis_url: str
    last_file: str = ""
    last_entry: str = ""
    """Place in the history of scans up to which everything was announced."""
    listening: bool = False
    """Scans behind that place were to be saved: nobody had given Stop."""
    running: tuple[SaveScan, ...] = ()
    """Scans that were being saved, or waited for it; oldest first."""
    links: tuple[LinkScan, ...] = ()
    """Scans that are saved beside their target and not linked into it yet."""
    finished: tuple[ScanReport, ...] = ()
    """Newest first."""


def default_folder() -> Path:
    """``$XDG_STATE_HOME/tango_saver`` or ``~/.local/state/tango_saver``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tango_saver"


def last_file_of(session: str, state_directory: str) -> str:
    """File of the newest finished scan of a session, whichever Redis it came from.

    For a saver whose settings cannot be used, which has no memory of its own.

    Args:
        session: its name; without one there is nothing to be found.
        state_directory: as in the settings.

    Returns:
        the file; empty if nothing is remembered, or it cannot be read.
    """
    memories: list[Memory] = []
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home folder
        folder = Path(state_directory) if state_directory else default_folder()
        for path in folder.glob(f"{_stem(session)}-*.json"):
            with suppress(OSError, msgspec.MsgspecError):
                memories.append(msgspec.json.decode(path.read_bytes(), type=Memory))
    return _newest_file(memory for memory in memories if memory.session == session)


class MemoryFile:
    """One JSON file per session, Redis and saver alive; always whole.

    After ``Init`` two savers of a session are alive until the older one has finished its
    scans. Each has a slot of its own, held by a lock that ends with its process: what is in a
    slot that nobody holds is taken over.
    """

    def __init__(self, settings: SaverSettings) -> None:
        folder = settings.state_directory
        self._session, self._redis_url = settings.session, settings.redis_url
        identity = f"{settings.session}\n{settings.redis_url}".encode()
        self._name = f"{_stem(settings.session)}-{hashlib.sha256(identity).hexdigest()[:12]}"
        self._folder = Path(folder) if folder else default_folder()
        self.path = self._slot(1)
        """Of our own slot."""
        self._lock: int | None = None
        """Descriptor of the lock on our slot."""

    def load(self) -> Memory:
        """Claim a slot, and take over what is in those that nobody holds.

        Returns:
            what was found; of a saver that is alive its newest reports and last file only.

        Raises:
            ConfigurationError: a file cannot be read or understood.
        """
        with suppress(OSError):  # found out, and said, when it is to be written
            self._folder.mkdir(parents=True, exist_ok=True)
        found: list[Memory] = []
        taken_over: list[tuple[Path, int]] = []
        for number in range(1, _MOST_SLOTS + 1):
            path = self._slot(number)
            if self._lock is not None and not path.exists():
                continue
            lock = _locked(path.with_suffix(".lock"))
            if lock is not None and self._lock is None:
                self.path, self._lock = path, lock
            elif lock is not None:
                taken_over.append((path, lock))
            if path.exists():
                memory = self._read(path)
                if lock is None:
                    memory = msgspec.structs.replace(memory, running=(), links=(), listening=False)
                found.append(memory)
        memory = self._merged(found)
        if taken_over:
            self.save(memory)
        for path, lock in taken_over:
            path.unlink(missing_ok=True)
            _unlock(lock)
        return memory

    def save(self, memory: Memory) -> None:
        """Replace the content of our slot.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self._folder, prefix=self.path.name, delete=False
            ) as file:
                file.write(msgspec.json.encode(memory))
            Path(file.name).replace(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"state_directory {self._folder} cannot be written: {error.strerror}",
                advice="Running scans and the last file will be forgotten at a restart; give a "
                "folder of its own",
            ) from error

    def release(self) -> None:
        """Let another saver have the slot; idempotent."""
        if self._lock is not None:
            _unlock(self._lock)
            self._lock = None

    def _slot(self, number: int) -> Path:
        return self._folder / f"{self._name}{f'-{number}' if number > 1 else ''}.json"

    def _read(self, path: Path) -> Memory:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Memory)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error}",
                advice="Running scans, the last file and the earlier reports are forgotten",
            ) from error

    def _merged(self, found: Iterable[Memory]) -> Memory:
        memories = list(found)
        reports = {report.key: report for memory in memories for report in memory.finished}
        finished = sorted(reports.values(), key=lambda report: -report.finished_at)
        running = {order.key: order for memory in memories for order in memory.running}
        places = [memory.last_entry for memory in memories if memory.listening]
        return Memory(
            self._session,
            self._redis_url,
            last_file=_newest_file(memories),
            last_entry=min(places, key=entry_order, default=""),
            listening=bool(places),
            running=tuple(sorted(running.values(), key=lambda order: order.started_at)),
            links=tuple(link for memory in memories for link in memory.links),
            finished=tuple(finished[:_RECALLED]),
        )


def _stem(session: str) -> str:
    """How the names of the files of a session begin."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", session)[:64]


def _newest_file(memories: Iterable[Memory]) -> str:
    newest = max(
        (memory for memory in memories if memory.last_file),
        key=lambda memory: max((report.finished_at for report in memory.finished), default=0.0),
        default=None,
    )
    return newest.last_file if newest is not None else ""


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock; -1 if there are no locks, None if another has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def _unlock(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


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
        self._content: Memory | None = None
        self._closing = False
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def put(self, memory: Memory) -> None:
        """Have this written soon; returns at once."""
        with self._changed:
            self._content = memory
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
                self._file.release()
                return
            begun = time.monotonic()
            try:
                self._file.save(content)
            except ConfigurationError as error:
                self._failed = True
                self._tell(str(error))
            else:
                if self._failed:
                    self._failed = False
                    self._tell("")
            self._rest(time.monotonic() - begun)

    def _rest(self, took_s: float) -> None:
        share, longest_s = _REST
        with self._changed:
            self._changed.wait_for(lambda: self._closing, min(share * took_s, longest_s))
