"""Scans in a recording: read without Redis, as if they were followed live.

A recording is a gzipped JSON file (``*.json.gz``): for each scan its documents, states and
stream entries as BLISS >= 2 published them, with their times. The folder of the data file
stands in it as ``@ROOT@``.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tango_saver.errors import ScanNotFoundError, SourceError
from tango_saver.model.records import Record, ScanClosed, ScanOpened
from tango_saver.model.scan import ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss2.channel import ChannelReader
from tango_saver.source.bliss2.document import decode_document

ROOT = "@ROOT@"
"""Stands for the folder of the data file."""


class _Document(msgspec.Struct, frozen=True):
    state: ScanState
    doc: dict[str, Any]


class _Scan(msgspec.Struct, frozen=True):
    key: str
    docs: list[_Document]
    entries: list[tuple[float, str, str, dict[str, Any]]]
    """Time, channel, entry id, fields."""


class _Recording(msgspec.Struct, frozen=True):
    scans: list[_Scan]


@dataclass(frozen=True, slots=True)
class RecordedScan:
    """One scan of a recording."""

    descriptions: tuple[ScanDescription, ...]
    """As of each of its states, at least one."""
    _entries: Sequence[tuple[float, str, str, dict[str, Any]]]

    @property
    def key(self) -> ScanKey:
        """As recorded."""
        return self.descriptions[0].key

    @property
    def opening(self) -> ScanDescription:
        """As it is when saving starts: prepared, or the last one if it never was."""
        prepared = (one for one in self.descriptions if one.state >= ScanState.PREPARED)
        return next(prepared, self.descriptions[-1])

    @property
    def closing(self) -> ScanDescription:
        """As it is in the end."""
        return self.descriptions[-1]

    def records(self) -> Iterator[Record]:
        """What a ``ScanReader`` yields of it, one entry of a stream at a time.

        A scan that was never closed has no ScanClosed.
        """
        description = self.opening
        yield ScanOpened(description)
        readers: dict[str, ChannelReader] = {}
        for name, spec in description.channels.items():
            readers[name] = ChannelReader(spec, 0)
            if spec.problem:
                yield readers[name].fail(spec.problem)
        for _, channel, entry, fields in self._entries:
            reader = readers.get(channel)
            if reader is not None and reader.live:
                yield from reader.take([(entry.encode(), _fields(fields))])[0]
        if self.closing.state is ScanState.CLOSED:
            yield ScanClosed(self.closing)


class RecordedSource:
    """The scans of one recording.

    Args:
        path: of the file.
        root: folder that the recorded scans were saved below.

    Raises:
        SourceError: the file is no recording.
        DocumentError: a recorded document cannot be used.
    """

    def __init__(self, path: Path, root: str = "/data") -> None:
        try:
            with gzip.open(path) as file:
                text = file.read().replace(ROOT.encode(), _inside_json(root))
            content = msgspec.json.decode(text, type=_Recording)
        except (OSError, EOFError, zlib.error, UnicodeError, msgspec.MsgspecError) as error:
            raise SourceError(
                f"{path} is not a recording of BLISS scans: {error}",
                advice="Give a file that ends with .json.gz",
            ) from error
        self.scans = tuple(_recorded(scan, path) for scan in content.scans)
        """In order of creation."""

    def describe(self, key: ScanKey) -> ScanDescription:
        """The scan as it was in the end.

        Raises:
            ScanNotFoundError: it is not in the recording.
        """
        for scan in self.scans:
            if scan.key == key:
                return scan.closing
        raise ScanNotFoundError("the scan is not in the recording", scan=key)


def _inside_json(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _recorded(scan: _Scan, path: Path) -> RecordedScan:
    if not scan.docs:
        raise SourceError(f"{path} has a scan without a document", scan=scan.key)
    key = ScanKey(scan.key)
    descriptions = tuple(
        decode_document(msgspec.json.encode(recorded.doc), key, recorded.state)
        for recorded in scan.docs
    )
    return RecordedScan(descriptions, sorted(scan.entries, key=lambda entry: entry[0]))


def _fields(fields: dict[str, Any]) -> list[bytes]:
    """The fields of an entry as Redis sends them."""
    flat: list[bytes] = []
    for name, value in fields.items():
        if name == "payload":
            try:
                flat += [b"payload", base64.b64decode(str(value))]
            except ValueError as error:
                raise SourceError(f"a recorded payload is not in base64: {error}") from error
        else:
            flat += [name.encode(), str(value).encode()]
    return flat
