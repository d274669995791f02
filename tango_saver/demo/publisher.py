"""Publishes a recorded BLISS scan again, as the BLISS session did, live.

A recording (``resources/recordings``) holds, with their times, the documents, states and
stream entries of one or several scans of BLISS >= 2. Publishing it again gives every scan
and stream a new key, puts the data file under a folder of the caller's, and sends the same
commands as BLISS: documents with JSON.SET together with the state, points with XADD, seals
with the function ``seal_stream``.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import redis

from tango_saver.errors import ConfigurationError
from tango_saver.model.scan import ScanState

HISTORY = "_SCAN_HISTORY_"
SEAL = "18446744073709551615-18446744073709551615"
_ROOT = "@ROOT@"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HISTORY_LENGTH = 2048


def new_ulid() -> str:
    """A key part as blissdata makes them: 48 bits of milliseconds, 80 random bits, base 32."""
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


@dataclass(frozen=True, slots=True)
class _StateChange:
    at: float
    scan: int
    state: ScanState


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    scan: int
    channel: str
    entry: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Scan:
    key: str
    documents: Mapping[ScanState, dict[str, Any]]
    state_stream: str
    streams: Mapping[str, str]
    json_channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class PublishedChannel:
    """One channel of a recording, as the session published it."""

    name: str
    dataset: str
    """Where BLISS itself expects the points in the file, ``/1.1/instrument/robx/value``."""
    values: npt.NDArray[Any]
    """``(n_points, *point_shape)``."""


def published_channels(recording: Path) -> list[PublishedChannel]:
    """The channels of all scans of a recording whose points have a fixed shape.

    Raises:
        ConfigurationError: the file is not a recording.
    """
    channels = []
    for scan in _load(recording)["scans"]:
        payloads: dict[str, list[bytes]] = {}
        for _, channel, entry, fields in scan["entries"]:
            if entry != SEAL:
                payloads.setdefault(channel, []).append(base64.b64decode(fields["payload"]))
        for name, part in scan["docs"][-1]["doc"]["data_streams"].items():
            encoding = part["encoding"]
            if encoding.get("type") == "numeric" and -1 not in encoding["shape"]:
                values = np.frombuffer(b"".join(payloads.get(name, [])), encoding["dtype_str"])
                path = f"/{part['info']['data_path']}"
                shaped = values.reshape(-1, *encoding["shape"])
                channels.append(PublishedChannel(name, path, shaped))
    return channels


def replay(
    recording: Path,
    redis_url: str,
    root: Path,
    *,
    speed: float = 1.0,
    session: str | None = None,
    number: int | None = None,
    writer: str | None = None,
    file: str | None = None,
    images: Path | None = None,
    trim: int | None = None,
    stop_at: ScanState | None = None,
    on_state: Callable[[str, ScanState], None] | None = None,
) -> list[str]:
    """Publish a recording.

    Args:
        recording: a ``*.json.gz`` file.
        redis_url: a database prepared as Beacon prepares it.
        root: folder that stands for the recording's data folder.
        speed: 1 for the recorded pace, 10 for ten times faster, 0 for flat out.
        session: name of the session to publish under, default the recorded one.
        number: number of the first scan; the following ones count on.
        writer: value of SCAN_SAVING.writer to announce, default the recorded one.
        file: name of the data file below ``root``, default the recorded one.
        images: folder whose files are put below ``root`` before anything is published, as if
            detectors had saved them there.
        trim: drop the entries before this point of every channel right after they were
            published, as Redis does to a reader that is late.
        stop_at: publish nothing behind this state, as a session that was killed.
        on_state: called after each state was published.

    Returns:
        the keys of the scans in order of creation.

    Raises:
        ConfigurationError: the file is not a recording.
        redis.RedisError: Redis does not take it.
    """
    content = _load(recording)
    _put_images(images, root)
    scans = _renamed_scans(content, root, file)
    for scan in scans:
        for document in _distinct(scan.documents):
            _adjust(document, session=session, writer=writer)
    if number is not None:
        _renumber(scans, number)
    with redis.Redis.from_url(redis_url) as client:
        for key, value in content.get("keys", {}).items():
            client.set(key, value)
        ended: set[int] = set()
        for event in _paced(_timeline(content), speed):
            scan = scans[event.scan]
            if event.scan in ended:
                continue
            if isinstance(event, _Entry):
                _publish_entry(client, scan, event, content["scans"], scans, trim)
            elif stop_at is not None and event.state > stop_at:
                ended.add(event.scan)
            else:
                _publish_state(client, scan, event.state)
                if on_state is not None:
                    on_state(scan.key, event.state)
    return [scan.key for scan in scans]


def _put_images(images: Path | None, root: Path) -> None:
    if images is not None:
        shutil.copytree(images, root, dirs_exist_ok=True)


def _load(recording: Path) -> dict[str, Any]:
    try:
        with gzip.open(recording, "rt") as file:
            content: dict[str, Any] = json.load(file)
        content["scans"][0]["docs"]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"{recording} is not a recording of a BLISS scan: {error}"
        ) from error
    return content


def _renamed_scans(content: Mapping[str, Any], root: Path, file: str | None) -> list[_Scan]:
    """The scans with fresh keys, which are replaced wherever a document refers to them."""
    new_keys: dict[str, str] = {}
    for scan in content["scans"]:
        new_keys[scan["key"].split(":")[-1]] = new_ulid()
        for recorded in scan["docs"]:
            document = recorded["doc"]
            parts = document["id"], document["state_stream"], *document["data_streams"].values()
            for part in parts:
                new_keys.setdefault(part["pk"], new_ulid())
    pattern = re.compile("|".join(map(re.escape, new_keys)))

    def renamed(value: Any) -> Any:
        text = pattern.sub(lambda match: new_keys[match[0]], json.dumps(value))
        if file is not None:
            text = text.replace(f"{_ROOT}/data.h5", f"{_ROOT}/{file}")
        return json.loads(text.replace(_ROOT, json.dumps(str(root))[1:-1]))

    return [_renamed_scan(scan, renamed) for scan in content["scans"]]


def _renamed_scan(recorded: Mapping[str, Any], renamed: Callable[[Any], Any]) -> _Scan:
    documents: dict[ScanState, dict[str, Any]] = {}
    # A document read after two fast transitions stands for both states.
    waiting = [ScanState(change["state"]) for change in recorded["states"]]
    for item in recorded["docs"]:
        document = renamed(item["doc"])
        while waiting and waiting[0] <= item["state"]:
            documents[waiting.pop(0)] = document
    newest = renamed(recorded["docs"][-1]["doc"])
    streams = newest["data_streams"]
    return _Scan(
        key=renamed(recorded["key"]),
        documents=documents,
        state_stream=f"esrf:stream:{newest['state_stream']['pk']}",
        streams={name: f"esrf:stream:{part['pk']}" for name, part in streams.items()},
        json_channels=frozenset(
            name
            for name, part in streams.items()
            if isinstance(part.get("encoding"), dict) and part["encoding"].get("type") == "json"
        ),
    )


def _distinct(documents: Mapping[ScanState, dict[str, Any]]) -> list[dict[str, Any]]:
    """One document may stand for several states."""
    return list({id(document): document for document in documents.values()}.values())


def _adjust(document: dict[str, Any], *, session: str | None, writer: str | None) -> None:
    if session is not None:
        document["id"]["session"] = document["info"]["session_name"] = session
    if writer is not None:
        document["info"]["data_writer"] = writer


def _renumber(scans: Sequence[_Scan], number: int) -> None:
    for offset, scan in enumerate(scans):
        for document in _distinct(scan.documents):
            new, info = number + offset, document["info"]
            document["id"]["number"] = info["scan_nb"] = new
            info["name"] = re.sub(r"^(_?)\d+_", rf"\g<1>{new}_", info["name"])
            for part in document["data_streams"].values():
                if isinstance(part.get("info"), dict) and "data_path" in part["info"]:
                    part["info"]["data_path"] = re.sub(
                        r"^\d+\.", f"{new}.", part["info"]["data_path"]
                    )


def _timeline(content: Mapping[str, Any]) -> Iterator[_StateChange | _Entry]:
    """All scans on one clock; the points of a scan stay between its start and its end."""
    events: list[tuple[float, int, _StateChange | _Entry]] = []
    for index, scan in enumerate(content["scans"]):
        at = {ScanState(change["state"]): change["t"] for change in scan["states"]}
        for state, moment in at.items():
            rank = 0 if state < ScanState.STOPPED else 3
            events.append((moment, rank, _StateChange(moment, index, state)))
        begin = at.get(ScanState.STARTED, at.get(ScanState.PREPARED, float("-inf")))
        ends = [at[state] for state in (ScanState.STOPPED, ScanState.CLOSED) if state in at]
        end = min(ends, default=float("inf"))
        for moment, channel, entry, fields in scan["entries"]:
            inside = min(max(moment, begin), end)
            rank = 2 if entry == SEAL else 1
            events.append((inside, rank, _Entry(inside, index, channel, entry, fields)))
    events.sort(key=lambda item: item[:2])
    return (event for _, _, event in events)


def _paced(
    events: Iterable[_StateChange | _Entry], speed: float
) -> Iterator[_StateChange | _Entry]:
    """The events, each not before its time."""
    started, first = time.monotonic(), None
    for event in events:
        first = event.at if first is None else first
        if speed:
            time.sleep(max(0.0, (event.at - first) / speed - (time.monotonic() - started)))
        yield event


def _publish_state(client: redis.Redis, scan: _Scan, state: ScanState) -> None:
    with client.pipeline(transaction=True) as transaction:
        document = json.dumps(scan.documents[state])
        transaction.execute_command("JSON.SET", scan.key, ".", document)
        if state is ScanState.CREATED:
            transaction.xadd(HISTORY, {"key": scan.key}, maxlen=_HISTORY_LENGTH)
        transaction.xadd(scan.state_stream, {"state": int(state)})
        transaction.execute()


def _publish_entry(
    client: redis.Redis,
    scan: _Scan,
    event: _Entry,
    recorded: Sequence[Mapping[str, Any]],
    scans: Sequence[_Scan],
    trim: int | None,
) -> None:
    stream = scan.streams[event.channel]
    if event.entry == SEAL:
        client.fcall("seal_stream", 1, stream)
        return
    fields: dict[Any, Any] = dict(event.fields)
    payload = base64.b64decode(event.fields["payload"])
    if event.channel in scan.json_channels:
        payload = _with_new_keys(payload, recorded, scans)
    fields["payload"] = payload
    client.xadd(stream, fields, id=event.entry)
    if trim and int(event.entry.split("-")[0]) + int(event.fields.get("len", 1)) > trim:
        client.xtrim(stream, minid=str(trim), approximate=False)


def _with_new_keys(
    payload: bytes, recorded: Sequence[Mapping[str, Any]], scans: Sequence[_Scan]
) -> bytes:
    """References to the scans of a sequence follow their new keys and numbers."""
    value = json.loads(payload)
    if not isinstance(value, dict) or "key" not in value:
        return payload
    for old, new in zip(recorded, scans, strict=True):
        if value["key"] == old["key"]:
            newest = list(new.documents.values())[-1]
            value |= {"key": new.key, "scan_number": newest["info"]["scan_nb"]}
    return json.dumps(value).encode()
