"""The errors of tango_saver, one tree.

    SaverError
    ├── ConfigurationError        a property or an option cannot be used
    ├── SourceError               what Redis gave us
    │   ├── RedisUnreachableError
    │   │   └── ReplyTooLargeError    it helps to ask for less
    │   ├── ProtocolVersionError
    │   ├── ScanNotFoundError
    │   ├── DocumentError         a scan document; names the path of the bad field
    │   └── StreamError           one channel's stream
    ├── LayoutError               a scan that no plan can be made for
    ├── SinkError                 the file
    │   ├── TargetPathError       relative, with "..", or outside the allowed roots
    │   ├── TargetLockedError     another process holds the file
    │   ├── ClaimLostError        another instance has taken it over
    │   ├── TargetUnusableError   not HDF5, no permission, no space
    │   │   ├── TargetAwayError       now, but perhaps not for ever
    │   │   ├── TargetForbiddenError
    │   │   └── DiskFullError
    │   ├── EntryExistsError
    │   └── DatasetError          one dataset
    └── EngineError               processes and commands
        ├── WorkerDiedError
        └── UnknownScanError

Every error says in one short line what was wrong and where, and carries the
scan, the channel and the advice (what to do next) as attributes.
"""

from __future__ import annotations


class SaverError(Exception):
    """Root of the tree.

    Args:
        fact: what was wrong, one short line without the scan's or channel's name.
        scan: key of the scan, empty if no scan is concerned.
        channel: full name of the channel, empty if the whole scan is concerned.
        advice: what the reader of the message can do, one short sentence.
    """

    def __init__(self, fact: str, *, scan: str = "", channel: str = "", advice: str = "") -> None:
        super().__init__(fact)
        self.fact = fact
        self.scan = scan
        self.channel = channel
        self.advice = advice

    def __str__(self) -> str:
        where = ", ".join(
            text
            for text in (
                f"scan {self.scan}" if self.scan else "",
                f"channel {self.channel}" if self.channel else "",
            )
            if text
        )
        sentence = f"{where}: {self.fact}" if where else self.fact
        return f"{sentence}. {self.advice}" if self.advice else sentence


class ConfigurationError(SaverError):
    """A property or an option cannot be used."""


class SourceError(SaverError):
    """What Redis gave us cannot be used."""


class RedisUnreachableError(SourceError):
    """No connection to Redis, or it was lost."""


class ReplyTooLargeError(RedisUnreachableError):
    """An answer of Redis was broken off: too large, or too slow."""


class ProtocolVersionError(SourceError):
    """The Redis database speaks another protocol than we do, or none."""


class ScanNotFoundError(SourceError):
    """The scan is not in Redis, or not any more."""


class DocumentError(SourceError):
    """A scan document has a field we cannot use; the fact ends with its path."""


class StreamError(SourceError):
    """The stream of one channel cannot be read or decoded."""


class LayoutError(SaverError):
    """No file plan can be made for a scan."""


class SinkError(SaverError):
    """The file could not be written."""


class TargetPathError(SinkError):
    """The path of the target is relative, has "..", or lies outside the allowed roots."""


class TargetLockedError(SinkError):
    """Another process holds the target open."""


class ClaimLostError(SinkError):
    """Another instance has taken the target over: this one writes nothing more of it."""


class TargetUnusableError(SinkError):
    """The target cannot be opened or written: not HDF5, no permission, no space."""


class TargetAwayError(TargetUnusableError):
    """The system refuses to write the target now, and may allow it later: no space, gone."""


class TargetForbiddenError(TargetUnusableError):
    """The saver has no right to write the target."""


class DiskFullError(TargetUnusableError):
    """Less space is free where the target lies than a new scan needs."""


class EntryExistsError(SinkError):
    """The target has an entry of that name already; it is never touched."""


class DatasetError(SinkError):
    """One dataset could not be made or written."""


class EngineError(SaverError):
    """Processes and commands."""


class WorkerDiedError(EngineError):
    """A worker process ended without having been told to."""


class UnknownScanError(EngineError):
    """A command names a scan that is not being saved."""
