"""What reaches the conductor's thread from all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tango_saver.engine.claims import ClaimNews
from tango_saver.engine.inspection import DiskSeen, Inspected
from tango_saver.engine.listener import Deaf, Heard, Listener, Silent
from tango_saver.engine.messages import News
from tango_saver.engine.pool import Worker
from tango_saver.engine.redis_watch import MemorySeen
from tango_saver.errors import SaverError, WorkerDiedError
from tango_saver.model.scan import ScanDescription


@dataclass(frozen=True, slots=True)
class ListeningBegan:
    """Start was given."""

    listener: Listener


@dataclass(frozen=True, slots=True)
class ListeningEnded:
    """No scan is taken any more; the listener looks for what was created before."""

    by_user: bool = True
    """Stop was given; else the server ends, and the next one is to go on from here."""


@dataclass(frozen=True, slots=True)
class Described:
    """A scan that SaveScan asked for."""

    key: str
    description: ScanDescription


@dataclass(frozen=True, slots=True)
class Undescribed:
    """A scan that SaveScan asked for cannot be read."""

    key: str
    error: SaverError


@dataclass(frozen=True, slots=True)
class EndAsked:
    """StopScan was given."""

    key: str


@dataclass(frozen=True, slots=True)
class ResetAsked:
    """Reset was given."""


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """Workers are to leave when all scans are finished, or at the deadline."""

    deadline: float
    """On the monotonic clock."""


@dataclass(frozen=True, slots=True)
class NewsCame:
    """A worker said something."""

    worker: Worker
    news: News


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """A worker's process has ended."""

    worker: Worker
    error: WorkerDiedError


@dataclass(frozen=True, slots=True)
class SpareStarted:
    """A spare worker was started, or could not be."""


@dataclass(frozen=True, slots=True)
class MemoryTrouble:
    """What survives a restart cannot be written, or can again if the sentence is empty."""

    sentence: str


@dataclass(frozen=True, slots=True)
class ClaimsChanged:
    """Something is to be known of the claims."""

    news: ClaimNews


Event: TypeAlias = (
    ListeningBegan
    | ListeningEnded
    | Heard
    | Deaf
    | Silent
    | Described
    | Undescribed
    | EndAsked
    | ResetAsked
    | ShutdownAsked
    | Inspected
    | DiskSeen
    | NewsCame
    | WorkerGone
    | SpareStarted
    | ClaimsChanged
    | MemoryTrouble
    | MemorySeen
)
