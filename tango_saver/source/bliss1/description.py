"""The description of a BLISS 1 scan, from its nodes and infos.

What identifies a scan must be right. Everything else is peripheral: a field that cannot be
read is left aside with one sentence, a channel that cannot be decoded has its ``problem`` set.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tango_saver.errors import DocumentError, ScanNotFoundError
from tango_saver.model.scan import (
    ChannelSpec,
    EndReason,
    Json,
    ScanDescription,
    ScanKey,
    ScanState,
    Subscan,
)
from tango_saver.source.bliss1.channels import decode_channel, lost_channel
from tango_saver.source.bliss1.classes import Value
from tango_saver.source.bliss1.names import scan_name, scan_number, session_of
from tango_saver.source.bliss1.plain import plain
from tango_saver.source.bliss1.scan_nodes import ScanNodes, read_scan_nodes
from tango_saver.source.bliss1.tree import END, PREPARED, decode_fields
from tango_saver.source.bliss1.writing import target_of
from tango_saver.source.limits import MOST_POINTS
from tango_saver.source.notes import Notes
from tango_saver.source.parts import (
    decode_devices,
    decode_positioners,
    decode_subscans,
    missing_channels,
)

_OWN_FIELDS = frozenset({
    "state", "start_time_str", "start_timestamp", "end_time_str", "end_timestamp", "node_name",
    "shadow_scan_number",
})  # fmt: skip
"""Fields of the info that say nothing to a user."""
_TODAY = {"is-scan-sequence": "is_scan_sequence", "_display_extra": "display_extra"}
"""Fields that have another name in BLISS >= 2."""

_ABORTS = ("ScanAbort", "KeyboardInterrupt", "GreenletExit")
_END_OF_STATE = {
    "DONE": EndReason.SUCCESS,
    "USER_ABORTED": EndReason.USER_ABORT,
    "KILLED": EndReason.FAILURE,
}
_LONGEST_ZONE_S = 15 * 3600


@dataclass(frozen=True, slots=True)
class Described:
    """A description, and what the reader needs besides."""

    description: ScanDescription
    cameras_waiting: bool
    """A camera was not prepared yet: where it saves is not known."""


def describe_scan(client: redis.Redis, key: ScanKey) -> Described:
    """Read a scan as it is now; a handful of questions to Redis.

    Raises:
        ScanNotFoundError: not in Redis, or about to expire.
        DocumentError: it has no usable identity.
        RedisUnreachableError: Redis does not answer.
    """
    nodes = read_scan_nodes(client, key)
    if nodes is None:
        raise ScanNotFoundError(
            "the scan is not in Redis any more",
            scan=key,
            advice="BLISS 1 keeps a scan for a day; or Redis was restarted without its data",
        )
    if not nodes.scan.is_scan:
        raise DocumentError(f"the node is no scan but a {nodes.scan.kind}", scan=key)
    if not nodes.scan.is_readable:
        raise DocumentError(
            f"the node has version {nodes.scan.version!r}, this saver reads version 1", scan=key
        )
    return _described(nodes, key)


def _described(nodes: ScanNodes, key: ScanKey) -> Described:
    notes = Notes()
    values, problems = decode_fields(nodes.fields)
    for sentence in problems:
        notes.add(sentence)
    info = _info(values, notes)
    number = info.get("scan_nb")
    if type(number) is not int or number < 0:
        number = scan_number(key)
    version = notes.part(info, "publisher_version", str, "", path="publisher_version")
    channels, missing, waiting = _channels(nodes, info, version, notes)
    devices = decode_devices(info, notes)
    n_points = notes.part(info, "npoints", int, 0, path="npoints")
    writer = notes.part(info, "data_writer", str, "", path="data_writer")
    target = target_of(info.get("filename"), writer)
    description = ScanDescription(
        key=key,
        session=notes.part(info, "session_name", str, session_of(key), path="session_name"),
        name=scan_name(key),
        number=number,
        state=nodes.state,
        saved=bool(target) and info.get("save") is not False,
        writer=writer,
        target=target,
        state_stream=f"{key}{END}" if nodes.was_prepared else f"{key}{PREPARED}",
        title=notes.part(info, "title", str, "", path="title"),
        scan_type=notes.part(info, "type", str, "", path="type"),
        start_time=_moment(values, "start"),
        end_time=_moment(values, "end"),
        end_reason=_end_reason(nodes, values),
        n_points=n_points if 0 < n_points <= MOST_POINTS else None,
        images_path=notes.part(info, "images_path", str, "", path="images_path"),
        publisher=notes.part(info, "publisher", str, "Bliss", path="publisher"),
        publisher_version=version,
        writer_options=notes.part(info, "writer_options", dict, {}, path="writer_options"),
        subscans=_subscans(nodes, info, channels, devices, notes),
        devices=devices,
        channels=channels,
        missing_channels=missing,
        positioners=decode_positioners(info, notes),
        info=info,
        warnings=notes.sentences,
    )
    return Described(description, waiting)


def _channels(
    nodes: ScanNodes, info: Mapping[str, Json], version: str, notes: Notes
) -> tuple[dict[str, ChannelSpec], tuple[str, ...], bool]:
    """The channels by name, names of those without a node, and whether cameras are waited for."""
    key = ScanKey(nodes.scan.key)
    channel_info = notes.part(info, "channels", dict, {}, path="channels")
    channels: dict[str, ChannelSpec] = {}
    waiting = False
    for node in nodes.channels:
        spec, is_waiting = decode_channel(node, channel_info, version)
        waiting |= is_waiting
        if spec.name in channels:
            notes.add(f"the name {spec.name!r} occurs twice: one of them is {node.node.key}")
            spec = decode_channel(node, channel_info, version, name=node.tail(key))[0]
        channels[spec.name] = spec
    missing = missing_channels(info, channels)
    if nodes.state is ScanState.CLOSED and nodes.was_prepared and not channels and missing:
        return {name: lost_channel(name, key) for name in missing}, (), waiting
    return channels, missing, waiting


def _info(values: Mapping[str, Value], notes: Notes) -> dict[str, Json]:
    """The info as JSON, under the names of today; what is None counts as absent."""
    info: dict[str, Json] = {}
    for name, value in values.items():
        if value is None or name in _OWN_FIELDS:
            continue
        try:
            info[_TODAY.get(name, name)] = plain(value)
        except DocumentError as error:
            notes.add(f"the field {name} was left aside: {error.fact}")
    return info


def _moment(values: Mapping[str, Value], which: str) -> str:
    """ISO 8601 with the publisher's zone, which is what its two clocks differ by."""
    local, stamp = values.get(f"{which}_time"), values.get(f"{which}_timestamp")
    if not isinstance(local, dt.datetime):
        return ""
    if local.tzinfo is not None or not isinstance(stamp, float):
        return local.isoformat()
    try:
        utc = dt.datetime.fromtimestamp(stamp, dt.UTC).replace(tzinfo=None)
        quarters = round((local - utc).total_seconds() / 900)
        if abs(quarters) * 900 > _LONGEST_ZONE_S:
            return local.isoformat()
        zone = dt.timezone(dt.timedelta(minutes=15 * quarters))
        return local.replace(tzinfo=zone).isoformat()
    except (OverflowError, ValueError, OSError):
        return local.isoformat()


def _end_reason(nodes: ScanNodes, values: Mapping[str, Value]) -> str:
    """From the exception that END_SCAN tells, or from the last state where it tells none."""
    if nodes.state is not ScanState.CLOSED:
        return ""
    exception = nodes.exception
    if isinstance(exception, str):
        if not exception:
            return EndReason.SUCCESS.value
        aborted = any(name in exception for name in _ABORTS)
        return (EndReason.USER_ABORT if aborted else EndReason.FAILURE).value
    state = values.get("state")
    known = _END_OF_STATE.get(state) if isinstance(state, str) else None
    return known.value if known is not None else ""


def _subscans(
    nodes: ScanNodes,
    info: Mapping[str, Any],
    channels: Mapping[str, ChannelSpec],
    devices: Mapping[str, Any],
    notes: Notes,
) -> tuple[Subscan, ...]:
    """One for each top master, in the order in which they were announced."""
    chain = info.get("acquisition_chain")
    if not isinstance(chain, Mapping) or not chain:
        return _subscans_of_tree(nodes, channels)
    by_name = {
        subscan.top_master: subscan for subscan in decode_subscans(info, channels, devices, notes)
    }
    announced = [name for name in nodes.top_masters if name in by_name]
    order = dict.fromkeys((*announced, *(name for name in chain if name in by_name)))
    return tuple(by_name[name] for name in order)


def _subscans_of_tree(nodes: ScanNodes, channels: Mapping[str, ChannelSpec]) -> tuple[Subscan, ...]:
    """Where the info has no chain: by the names of the nodes."""
    members: dict[str, list[str]] = {name: [] for name in nodes.top_masters}
    prefix = f"{nodes.scan.key}:"
    for name, channel in channels.items():
        master = channel.stream.removeprefix(prefix).partition(":")[0]
        members.setdefault(master, []).append(name)
    found: Sequence[tuple[str, list[str]]] = list(members.items())
    return tuple(Subscan(master, (), tuple(names)) for master, names in found)
