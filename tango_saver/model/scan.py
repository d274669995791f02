"""What a scan is, before and while it is saved: decoded once, frozen ever after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Any, NewType

import numpy as np

ScanKey = NewType("ScanKey", str)
"""Name of a scan in Redis: ``esrf:scan:<ULID>`` for BLISS >= 2, the node's name for BLISS 1."""

Json = Any
"""A decoded JSON value: None, bool, int, float, str, list or dict of such."""


class ScanState(IntEnum):
    """Life of a scan as BLISS >= 2 numbers it in the state stream."""

    CREATED = 0
    PREPARED = 1
    STARTED = 2
    STOPPED = 3
    CLOSED = 4


class EndReason(StrEnum):
    """Why a scan ended. The first four are BLISS's own words."""

    SUCCESS = "SUCCESS"
    USER_ABORT = "USER_ABORT"
    FAILURE = "FAILURE"
    DELETION = "DELETION"
    PUBLISHER_LOST = "PUBLISHER_LOST"
    """Ours: nothing was published for longer than the publisher timeout, the scan never closed."""
    SAVING_STOPPED = "SAVING_STOPPED"
    """Ours: an operator ended the saving of this scan with StopScan."""


class ChannelKind(Enum):
    """What the stream of a channel carries."""

    NUMERIC = "numeric"
    """Points of a fixed shape, or of a shape with unknown dimensions."""
    JSON = "json"
    """One JSON value per point."""
    IMAGE_REFERENCE = "image reference"
    """Status of a detector that saves its images itself (Lima, Lima2, Mosca)."""
    SUBSCANS = "subscans"
    """Keys of the scans of a sequence."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One stream of a scan.

    A channel is in here when the document lists it under ``data_streams``; the
    parts that come from ``info["channels"]`` are empty if BLISS left it out there.
    """

    name: str
    """Full name, ``axis:robx``; unique in the scan."""
    stream: str
    """Key of its Redis stream."""
    kind: ChannelKind
    dtype: np.dtype[Any] | None
    """Of one value, byte order included; None unless NUMERIC."""
    shape: tuple[int | None, ...] | None
    """Of one point: ``()`` scalar, ``(4096,)`` spectrum; None for a dimension that varies
    from point to point. None as a whole unless NUMERIC."""
    unit: str = ""
    device: str = ""
    """Key into ``ScanDescription.devices``, empty if unknown."""
    display_name: str = ""
    info: Mapping[str, Json] = field(default_factory=dict)
    """The stream's own info: ``plugin``, ``lima_info`` and so on."""
    hints: Mapping[str, Json] = field(default_factory=dict)
    """The channel's part of ``info["channels"]``: start, stop, points, axis_id, ..."""
    status_dtype: np.dtype[Any] | None = None
    """Of a status that is published as a number (Lima2's frame counter); None for a JSON
    status, and for channels that carry points."""
    problem: str = ""
    """Why this channel cannot be saved (unknown dtype, malformed encoding); empty if it can."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device of the acquisition chain."""

    key: str
    name: str
    channels: tuple[str, ...] = ()
    triggered_devices: tuple[str, ...] = ()
    """Keys of the devices that this one triggers."""
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscan:
    """One independent part of the acquisition chain; becomes one entry of the file."""

    top_master: str
    """Name of the chain's root, as BLISS sorts them."""
    devices: tuple[str, ...]
    """Keys of its devices, the root first."""
    channels: tuple[str, ...]
    """Full names, in the order of the document: master's first, scalars, spectra, images."""


@dataclass(frozen=True, slots=True)
class Positioners:
    """Snapshots of all motors of the session: name -> position (number, text or None)."""

    start: Mapping[str, Json] = field(default_factory=dict)
    end: Mapping[str, Json] = field(default_factory=dict)
    dial_start: Mapping[str, Json] = field(default_factory=dict)
    dial_end: Mapping[str, Json] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScanDescription:
    """All that is known of a scan at one moment of its life.

    A scan is described anew when its document changes (prepared, closed); the
    layout is a function of this value.
    """

    key: ScanKey
    session: str
    name: str
    """Without its number: ``ascan``."""
    number: int
    state: ScanState
    saved: bool
    """Whether the session wants this scan in a file (``info["save"]`` and a path)."""
    writer: str
    """``SCAN_SAVING.writer``: nexus, mapping, external, internal or null."""
    target: str
    """Path of the data file as BLISS published it, or of the file that this scan has for
    itself; empty if not saved. Not yet checked."""
    state_stream: str
    """Key of the stream that announces the states."""
    title: str = ""
    scan_type: str = ""
    start_time: str = ""
    """ISO 8601 with zone, as published."""
    end_time: str = ""
    end_reason: str = ""
    """One of EndReason's values once closed, else empty."""
    n_points: int | None = None
    """Expected number of points per channel; None if unknown (or endless)."""
    images_path: str = ""
    index_file: str = ""
    """The session's data file if the scan has a file of its own: it gets links to the
    entries. Empty if the scan goes to the data file itself. Not yet checked."""
    publisher: str = ""
    publisher_version: str = ""
    writer_options: Mapping[str, Json] = field(default_factory=dict)
    subscans: tuple[Subscan, ...] = ()
    """Sorted by the top master's name, so that ``subscans[i]`` is the entry ``N.(i+1)``."""
    devices: Mapping[str, DeviceSpec] = field(default_factory=dict)
    channels: Mapping[str, ChannelSpec] = field(default_factory=dict)
    """Every data stream of the scan, in the order of the document."""
    missing_channels: tuple[str, ...] = ()
    """Channels that the chain or ``info["channels"]`` names but that have no stream."""
    positioners: Positioners = field(default_factory=Positioners)
    info: Mapping[str, Json] = field(default_factory=dict)
    """The whole ``scan_info``, for what has no field of its own."""
    warnings: tuple[str, ...] = ()
    """What in the document had to be left aside, each one sentence."""

    @property
    def label(self) -> str:
        """Number and name as the BLISS shell shows them: ``12_ascan``."""
        return f"{self.number}_{self.name}"


@dataclass(frozen=True, slots=True)
class ScanAnnouncement:
    """What a source tells of a scan when it is created, enough to decide and to route."""

    key: ScanKey
    entry: str
    """Where it stands in the history of scans; reading goes on behind it."""
    session: str
    name: str
    number: int
    saved: bool
    writer: str
    target: str
