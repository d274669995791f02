"""The scan document of BLISS >= 2, decoded once, at the border.

What identifies a scan and its streams must be right, else the document is refused with the
path of the bad field. Everything else is peripheral: a malformed part is left aside with one
sentence in ``warnings``, a channel that cannot be decoded has its ``problem`` set, and the
rest of the scan goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from tango_saver.errors import DocumentError
from tango_saver.model.scan import ChannelSpec, ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss2.encoding import STREAM_PREFIX, bad_field, decode_channel
from tango_saver.source.bliss2.json_text import decode_json
from tango_saver.source.bliss2.target import scan_target
from tango_saver.source.limits import MOST_POINTS
from tango_saver.source.notes import Notes
from tango_saver.source.parts import (
    decode_devices,
    decode_positioners,
    decode_subscans,
    missing_channels,
)

LARGEST_DOCUMENT = 16 * 2**20
"""Bytes; publishers keep their documents below 1 MiB."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Identity(msgspec.Struct):
    """What a scan is called and where it goes."""

    name: str
    number: _Number
    session: str
    path: str | None = None


class _StateStream(msgspec.Struct):
    pk: str


class _Info(msgspec.Struct):
    """The part of ``scan_info`` that decides where a scan goes."""

    save: bool | None = None
    filename: str | None = None
    scan_nb: _Number | None = None
    data_writer: str | None = None


class _Document(msgspec.Struct):
    id: Identity
    state_stream: _StateStream
    info: _Info
    data_streams: dict[str, Any] = {}


def _parse(raw: bytes | str, key: ScanKey) -> tuple[_Document, dict[str, Any]]:
    """The typed core and the whole ``info``."""
    if len(raw) > LARGEST_DOCUMENT:
        raise DocumentError(f"the document of {len(raw)} bytes is too large: $", scan=key)
    try:
        plain = decode_json(raw.encode() if isinstance(raw, str) else raw)
    except ValueError as error:
        raise DocumentError(f"the document cannot be decoded, {error}: $", scan=key) from error
    if isinstance(plain, dict):
        # Old publishers write "" for what is not used.
        plain = {name: value for name, value in plain.items() if value not in ("", None)}
    try:
        return msgspec.convert(plain, _Document), plain["info"]
    except msgspec.ValidationError as error:
        raise bad_field(error, "$", key) from error


def _channels(
    document: _Document, info: Mapping[str, Any], key: ScanKey, notes: Notes
) -> dict[str, ChannelSpec]:
    channel_info = notes.part(info, "channels", dict, {}, path="info.channels")
    owners = {f"{STREAM_PREFIX}{document.state_stream.pk}": "the state of the scan"}
    channels = {}
    for name, value in document.data_streams.items():
        channel = decode_channel(name, value, channel_info, key, notes)
        owner = owners.setdefault(channel.stream, name)
        if owner != name:
            channel = replace(channel, problem=f"its stream belongs to {owner}")
        channels[name] = channel
    return channels


def _data_file(document: _Document, notes: Notes) -> str:
    path, filename = document.id.path or "", document.info.filename or ""
    if path and filename and path != filename:
        notes.add(f"id.path and info.filename differ: the scan goes to {path}")
    return path or filename


def _n_points(info: Mapping[str, Any], notes: Notes) -> int | None:
    """Number of points of the scan; None if it is not known."""
    n_points = notes.part(info, "npoints", int, 0, path="info.npoints")
    if n_points > MOST_POINTS:
        notes.add("info.npoints was left aside: no scan has so many points")
        return None
    return n_points if n_points > 0 else None


def _options(info: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """What the session asks of its writer."""
    return notes.part(info, "writer_options", dict, {}, path="info.writer_options")


def decode_document(raw: bytes | str, key: ScanKey, state: ScanState) -> ScanDescription:
    """Decode what ``JSON.GET <key>`` returns.

    A channel that has a stream but stands in no part of the acquisition chain is appended to
    the part that holds its device, or to the first one, with a warning. Without a usable chain
    there is one part of all channels. ``saved`` follows ``info.save``; a publisher that does
    not state it wants to save if it gave a path.

    Args:
        raw: the JSON text.
        key: name of the document in Redis.
        state: the newest state that its state stream announced.

    Raises:
        DocumentError: the fact ends with the path of the bad field (``$.id.number``).
    """
    document, info = _parse(raw, key)
    if not document.state_stream.pk:
        raise DocumentError("the scan has no state stream: $.state_stream.pk", scan=key)
    notes = Notes()

    def text(name: str) -> str:
        return notes.part(info, name, str, "", path=f"info.{name}")

    channels = _channels(document, info, key, notes)
    devices = decode_devices(info, notes)
    subscans = decode_subscans(info, channels, devices, notes)
    data_file = _data_file(document, notes)
    options = _options(info, notes)
    separate, writer = options.get("separate_scan_files"), document.info.data_writer
    target = scan_target(data_file, text("images_path"), separate, writer)
    if document.info.scan_nb not in (None, document.id.number):
        notes.add(f"id.number and info.scan_nb differ: the scan has number {document.id.number}")
    n_points = _n_points(info, notes)
    return ScanDescription(
        key=key,
        session=document.id.session,
        name=document.id.name,
        number=document.id.number,
        state=state,
        saved=bool(target) and document.info.save is not False,
        writer=document.info.data_writer or "",
        target=target,
        index_file=data_file if data_file != target else "",
        state_stream=f"{STREAM_PREFIX}{document.state_stream.pk}",
        title=text("title"),
        scan_type=text("type"),
        start_time=text("start_time"),
        end_time=text("end_time"),
        end_reason=text("end_reason"),
        n_points=n_points,
        images_path=text("images_path"),
        publisher=text("publisher"),
        publisher_version=text("publisher_version"),
        writer_options=options,
        subscans=subscans,
        devices=devices,
        channels=channels,
        missing_channels=missing_channels(info, channels),
        positioners=decode_positioners(info, notes),
        info=info,
        warnings=notes.sentences,
    )
