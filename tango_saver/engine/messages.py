"""What the conductor and its workers say to each other: typed, and never pickled."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tango_saver.errors import EngineError
from tango_saver.model.report import ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings


class Configure(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker."""

    settings: SaverSettings


class LostPoints(msgspec.Struct, frozen=True, tag=True):
    """Points of one channel that Redis had dropped; remembered in case the worker dies."""

    key: str
    channel: str
    first: int
    stop: int


class SaveScan(msgspec.Struct, frozen=True, tag=True):
    """Save this scan; the target is a checked, resolved path."""

    key: str
    session: str
    name: str
    number: int
    target: str
    attempt: int = 0
    """How many workers died while they saved it."""
    started_at: float = 0.0
    """Seconds since the epoch when saving first began."""
    lost: tuple[LostPoints, ...] = ()
    """What earlier attempts found missing."""
    warnings: tuple[str, ...] = ()
    """What earlier attempts had to say."""
    wanted: str = ""
    """The target that BLISS asked for, if the scan has to go to another file."""
    again: bool = False
    """Also if the file says that it has all of it: it was found to differ."""
    fence: int = 0
    """Number of the claim to the target; 0 if nobody else could write it."""
    displaced: str = ""
    """Machine of an instance that had the target before and may still have it open."""


class LinkScan(msgspec.Struct, frozen=True, tag=True):
    """Link a scan that is saved in another file into the one that BLISS asked for."""

    key: str
    target: str
    """The file that gets the links."""
    file: str
    """The file that has the entries."""
    entries: tuple[str, ...]


class EndScan(msgspec.Struct, frozen=True, tag=True):
    """Finish what there is of this scan, now."""

    key: str


class RenewLease(msgspec.Struct, frozen=True, tag=True):
    """Files may be written until then."""

    until: float
    """See ``boot_time``."""


class LoseTarget(msgspec.Struct, frozen=True, tag=True):
    """Another instance writes this target: never touch it again under this claim."""

    target: str
    fence: int
    name: str
    """Of that instance."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Flush and close every file, keep the journals, exit."""


Order: TypeAlias = Configure | SaveScan | LinkScan | EndScan | RenewLease | LoseTarget | Leave


class ProgressMade(msgspec.Struct, frozen=True, tag=True):
    """The scans whose progress changed since the last such message."""

    scans: tuple[ScanProgress, ...]


class ScanEnded(msgspec.Struct, frozen=True, tag=True):
    """The scan is finished, for better or worse; its worker has forgotten it."""

    report: ScanReport


class TargetClosed(msgspec.Struct, frozen=True, tag=True):
    """The worker does not hold this file any more."""

    target: str


class LogLine(msgspec.Struct, frozen=True, tag=True):
    """One record of the worker's logging."""

    level: int
    logger: str
    text: str


class ScanLinked(msgspec.Struct, frozen=True, tag=True):
    """What came of LinkScan."""

    key: str
    target: str
    names: tuple[str, ...] = ()
    """Of the links."""
    problem: str = ""
    """Why there are none."""
    again: bool = False
    """It may succeed later."""


class Exhausted(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot go on for a reason that ends with its process; it leaves by itself."""

    reason: str


News: TypeAlias = (
    ScanLinked | Exhausted | ProgressMade | LostPoints | ScanEnded | TargetClosed | LogLine
)

_ENCODER = msgspec.msgpack.Encoder()
_ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_NEWS: msgspec.msgpack.Decoder[News] = msgspec.msgpack.Decoder(News)


def encode(message: Order | News) -> bytes:
    """The bytes of one message."""
    return _ENCODER.encode(message)


def decode_order(data: bytes) -> Order:
    """A message to a worker.

    Raises:
        EngineError: the bytes are none.
    """
    try:
        return _ORDERS.decode(data)
    except msgspec.MsgspecError as error:
        raise EngineError(f"a worker got an order that it cannot read: {error}") from error


def decode_news(data: bytes) -> News:
    """A message from a worker.

    Raises:
        EngineError: the bytes are none.
    """
    try:
        return _NEWS.decode(data)
    except msgspec.MsgspecError as error:
        raise EngineError(f"a worker sent a message that cannot be read: {error}") from error
