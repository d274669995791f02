"""Scans read from a recording are those that Redis would have given."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from reading import Collected, read_all

from tango_saver.demo.publisher import replay
from tango_saver.errors import DocumentError, ScanNotFoundError, SourceError
from tango_saver.model.records import ScanClosed, ScanOpened
from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.source.recording import RecordedSource

NAMES = ("ascan", "samples", "dtypes", "lima_hdf5", "uneven", "h5maps", "no_data")


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_holds_what_redis_held(
    name: str, recordings: Path, redis_url: str, tmp_path: Path
) -> None:
    recording = recordings / f"{name}.json.gz"
    (key,) = replay(recording, redis_url, tmp_path, speed=0)
    (scan,) = RecordedSource(recording, str(tmp_path)).scans
    ours, redis = Collected(list(scan.records())), read_all(redis_url, key)
    assert ours.opened.description.channels.keys() == redis.opened.description.channels.keys()
    assert ours.closed.description.target == redis.closed.description.target
    for channel in ours.opened.description.channels:
        assert ours.bytes(channel) == redis.bytes(channel)
        assert ours.ends(channel) == redis.ends(channel)
        assert ours.statuses(channel)[-1:] == redis.statuses(channel)[-1:]


def test_a_scan_that_was_never_closed_has_no_end(recordings: Path) -> None:
    (scan,) = RecordedSource(recordings / "killed.json.gz").scans
    records = list(scan.records())
    assert isinstance(records[0], ScanOpened)
    assert not any(isinstance(record, ScanClosed) for record in records)


def test_scans_are_described_by_their_keys(recordings: Path) -> None:
    source = RecordedSource(recordings / "parallel.json.gz", "/somewhere")
    assert len(source.scans) == 3
    for scan in source.scans:
        description = source.describe(scan.key)
        assert description.state is ScanState.CLOSED
        assert description.target.startswith("/somewhere/")
        assert scan.opening.state is ScanState.PREPARED
    with pytest.raises(ScanNotFoundError):
        source.describe(ScanKey("esrf:scan:X"))


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"no json", mtime=0),
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b'{"scans": [{}]}', mtime=0),
        gzip.compress(b'{"scans": [{"key": "k", "docs": [], "entries": []}]}', mtime=0),
        gzip.compress(b'{"scans": []}', mtime=0)[:-9],
        gzip.compress(b"\xff\xfe", mtime=0),
    ],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(content)
    with pytest.raises(SourceError):
        RecordedSource(path)


def test_a_bad_document_is_named_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    path.write_bytes(
        gzip.compress(
            b'{"scans": [{"key": "k", "docs": [{"state": 0, "doc": {"id": 5}}], "entries": []}]}'
        )
    )
    with pytest.raises(DocumentError, match=r"\$"):
        RecordedSource(path)
