"""Publishes recorded scans of BLISS 1 again, command by command, as the session did.

A recording (``resources/recordings/bliss1/*.jsonl.gz``) begins with a line that names the
session and the folder of its files. Every other line is one transaction: the time and the
commands that BLISS sent, arguments as latin-1 text. Publishing it again puts the file names
under a folder of the caller's: the texts inside pickles are rewritten at the level of
opcodes, nothing is ever unpickled.

Folders of the node tree that are in Redis already are not announced again, as BLISS does; so
several recordings may be published into one Redis.
"""

from __future__ import annotations

import gzip
import json
import pickletools
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tango_saver.errors import ConfigurationError

_TEXTS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_SCANS = frozenset({b"scan", b"scan_group"})
_CHILDREN = b"_children_list"
_PLACEHOLDER = b"0-1"
"""Id of the entry that makes an empty stream."""
_SHORT = 256

Command = list[bytes]


@dataclass(frozen=True, slots=True)
class _Transaction:
    at: float
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class _Recording:
    session: str
    root: str
    transactions: Sequence[_Transaction]


@dataclass(slots=True)
class _Nodes:
    """What a recording creates."""

    scans: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    """Nodes above the scans."""


def replay_bliss1(
    recording: Path,
    redis_url: str,
    root: Path,
    *,
    speed: float = 1.0,
    session: str | None = None,
    images: Path | None = None,
    split: int = 0,
    stop_before: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Publish a recording.

    Args:
        recording: a ``*.jsonl.gz`` file.
        redis_url: of the database; needs no module.
        root: folder that stands for the recorded one.
        speed: 1 for the recorded pace, 10 for ten times faster, 0 for flat out.
        session: name of the session to publish under, default the recorded one.
        images: folder whose files are put below ``root`` first, as if detectors had saved them.
        split: most commands of one transaction; 0 leaves them together as recorded.
        stop_before: end that many seconds before the end of the recording, as a session that
            died: without END_SCAN.
        on_progress: called after each transaction with the seconds of the recording.

    Returns:
        the keys of the scans in order of creation.

    Raises:
        ConfigurationError: the file is no recording, or a scan of it is in Redis already.
        redis.RedisError: Redis does not take it.
    """
    content = _load(recording)
    change = _changer(content, root, session)
    transactions = [
        _Transaction(item.at, [_rewritten(command, change) for command in item.commands])
        for item in content.transactions
    ]
    if images is not None:
        shutil.copytree(images, root, dirs_exist_ok=True)
    nodes = _created(transactions)
    end = transactions[-1].at - (stop_before or 0.0)
    with redis.Redis.from_url(redis_url) as client:
        present = [key.decode() for key in nodes.scans if client.exists(key)]
        if present:
            raise ConfigurationError(
                f"the scan {present[0]} is in Redis already", advice="Publish into another database"
            )
        known = frozenset(key for key in nodes.folders if client.exists(key))
        started, first = time.monotonic(), transactions[0].at
        for item in transactions:
            if item.at > end:
                break
            if speed:
                time.sleep(max(0.0, (item.at - first) / speed - (time.monotonic() - started)))
            _send(client, [one for one in item.commands if not _repeats(one, known)], split)
            if on_progress is not None:
                on_progress(item.at - first)
    return [key.decode() for key in nodes.scans]


def commands_of(recording: Path) -> Iterator[Command]:
    """The recorded commands, in order.

    Raises:
        ConfigurationError: the file is no recording.
    """
    return _commands(_load(recording).transactions)


def _load(recording: Path) -> _Recording:
    try:
        with gzip.open(recording, "rt", encoding="utf-8") as file:
            head = json.loads(file.readline())
            transactions = [
                _Transaction(at, [[argument.encode("latin-1") for argument in c] for c in commands])
                for at, commands in map(json.loads, file)
            ]
        session, root = head["session"], head["root"]
        transactions[0].commands[0][0]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"{recording} is not a recording of BLISS 1 scans: {error}"
        ) from error
    return _Recording(session, root, transactions)


def _changer(content: _Recording, root: Path, session: str | None) -> Callable[[str], str]:
    """What becomes of a text that is an argument, or inside a pickle."""
    old = content.session

    def change(text: str) -> str:
        if session is not None and (
            text in (old, f"{old}_info") or text.startswith((f"{old}:", f"{old}_children_list"))
        ):
            text = session + text[len(old) :]
        return text.replace(content.root, str(root))

    return change


def _rewritten(command: Command, change: Callable[[str], str]) -> Command:
    return [command[0], *(_changed(argument, change) for argument in command[1:])]


def _changed(argument: bytes, change: Callable[[str], str]) -> bytes:
    if argument[:1] == b"\x80" and argument[-1:] == b".":
        return _changed_pickle(argument, change)
    try:
        return change(argument.decode()).encode()
    except UnicodeDecodeError:
        return argument


def _changed_pickle(argument: bytes, change: Callable[[str], str]) -> bytes:
    """The pickle with other texts; frames, whose lengths would be wrong, are left out."""
    operations = list(pickletools.genops(argument))
    stops = [position or 0 for _, _, position in operations[1:]] + [len(argument)]
    parts: list[bytes] = []
    touched = False
    for (operation, value, position), stop in zip(operations, stops, strict=True):
        if operation.name == "FRAME":
            continue
        part = argument[position or 0 : stop]
        if operation.name in _TEXTS and isinstance(value, str) and change(value) != value:
            part, touched = _pickled_text(change(value)), True
        parts.append(part)
    return b"".join(parts) if touched else argument


def _pickled_text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) < _SHORT:
        return b"\x8c" + bytes([len(raw)]) + raw
    return b"X" + len(raw).to_bytes(4, "little") + raw


def _created(transactions: Sequence[_Transaction]) -> _Nodes:
    kinds: dict[bytes, bytes] = {}
    for command in _commands(transactions):
        if command[0] == b"HSET" and b"node_type" in command[2::2]:
            kinds[command[1]] = command[3::2][command[2::2].index(b"node_type")]
    nodes = _Nodes([key for key, kind in kinds.items() if kind in _SCANS])
    scans = set(nodes.scans)
    nodes.folders = [key for key in kinds if not scans.intersection(_lineage(key))]
    return nodes


def _commands(transactions: Sequence[_Transaction]) -> Iterator[Command]:
    for item in transactions:
        yield from item.commands


def _lineage(key: bytes) -> Iterator[bytes]:
    """The node and those above it."""
    parts = key.split(b":")
    return (b":".join(parts[:length]) for length in range(1, len(parts) + 1))


def _repeats(command: Command, known: frozenset[bytes]) -> bool:
    """Whether the command creates or announces a folder that is there already."""
    name, key = command[0], command[1]
    if name == b"HSET":
        return key in known
    if name in (b"XADD", b"XDEL") and key.endswith(_CHILDREN):
        if command[2] == _PLACEHOLDER:
            return key.removesuffix(_CHILDREN) in known
        return name == b"XADD" and command[-1] in known
    return False


def _send(client: redis.Redis, commands: Sequence[Command], split: int) -> None:
    size = split or max(len(commands), 1)
    for start in range(0, len(commands), size):
        part = commands[start : start + size]
        pipeline: Any = client.pipeline(transaction=len(part) > 1)
        for command in part:
            pipeline.execute_command(*command)
        pipeline.execute()
