"""Every recorded scan of real BLISS, replayed and read: all points, all ends, equal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from reading import Collected, has_points, is_closed, read_until

from tango_saver.demo.publisher import replay
from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.source.bliss2 import Bliss2Reader, Bliss2Source

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.stem for path in DATA.glob("*.json"))


def expected_scans(name: str) -> dict[int, dict[str, Any]]:
    """What Redis held at the recording, by scan number, or by place where numbers repeat."""
    scans = json.loads((DATA / f"{name}.json").read_text())["scans"]
    by_number = {scan["number"]: scan for scan in scans}
    return by_number if len(by_number) == len(scans) else dict(enumerate(scans))


def check_channels(scan: Collected, streams: dict[str, Any]) -> None:
    assert list(scan.opened.description.channels.keys() ^ streams.keys()) == []
    for channel, wanted in streams.items():
        assert scan.failures(channel) == []
        assert scan.gaps(channel) == []
        assert scan.ends(channel) == ([] if wanted["sealed_at"] is None else [wanted["sealed_at"]])
        if "scan_numbers" in wanted:
            assert [found.number for found in scan.subscans(channel)] == wanted["scan_numbers"]
            continue
        assert scan.n_points(channel) == wanted["points"], channel
        if wanted["points"]:
            digest = hashlib.sha256(scan.bytes(channel)).hexdigest()
            assert digest[:16] == wanted["sha256_16"], channel


@pytest.mark.parametrize("name", NAMES)
def test_a_replayed_recording_is_read_completely(
    name: str, redis_url: str, recordings: Path, tmp_path: Path
) -> None:
    source = Bliss2Source(redis_url)
    since = source.last_entry()
    keys = replay(recordings / f"{name}.json.gz", redis_url, tmp_path, speed=0)
    announced = {scan.key: scan for scan in source.new_scans(since, 5)[0]}
    assert list(announced) == keys

    expected = expected_scans(name)
    n_checked = 0
    for place, key in enumerate(keys):
        number = announced[ScanKey(key)].number
        wanted = expected.get(place if 0 in expected else number)
        if wanted is None:
            continue  # of the 200 quick scans three are written down
        n_checked += 1
        assert announced[ScanKey(key)].saved is wanted["save"]
        closes = wanted["states"][-1] == "CLOSED"
        reader = Bliss2Reader(redis_url, ScanKey(key))
        n_points = {channel: stream["points"] for channel, stream in wanted["streams"].items()}
        scan = Collected(
            read_until(
                reader,
                lambda records, closes=closes, n_points=n_points: (
                    is_closed(records)
                    if closes
                    else all(has_points(c, n)(records) for c, n in n_points.items())
                ),
            )
        )
        check_channels(scan, wanted["streams"])
        if closes:
            assert scan.closed.description.end_reason == wanted["end_reason"]
            assert scan.closed.description.state is ScanState.CLOSED
            assert reader.read(0) == ()
        assert dict(reader.positions()) == n_points
        described = source.describe(ScanKey(key))
        assert described.state.name == wanted["states"][-1]
        assert list(described.channels) == list(reader.describe().channels)
        reader.close()
    assert n_checked == len(expected)
    source.close()


@pytest.mark.parametrize("name", ["uneven", "long_flat", "dtypes"])
def test_a_late_reader_learns_exactly_what_was_trimmed(
    name: str, redis_url: str, recordings: Path, tmp_path: Path
) -> None:
    """Closed and sealed before the reader comes."""
    (key,) = replay(recordings / f"{name}.json.gz", redis_url, tmp_path, speed=0, trim=4)
    (wanted,) = expected_scans(name).values()
    reader = Bliss2Reader(redis_url, ScanKey(key))
    scan = Collected(read_until(reader, is_closed))
    reader.close()
    n_gaps = 0
    for channel, stream in wanted["streams"].items():
        missed = sum(stop - first for first, stop in scan.gaps(channel))
        n_gaps += missed > 0
        # Nobody can know of a stream that was emptied before it was sealed.
        emptied = scan.ends(channel) == [0]
        assert scan.ends(channel) == [0 if emptied else stream["sealed_at"]]
        assert scan.n_points(channel) + missed == (0 if emptied else stream["points"])
        assert not emptied or channel in ("odd:burst", "odd:empty")
    assert n_gaps


def test_a_sequence_is_told_every_sub_scan_also_when_it_is_read_again(
    redis_url: str, recordings: Path, tmp_path: Path
) -> None:
    keys = replay(recordings / "sequence.json.gz", redis_url, tmp_path, speed=0)
    for positions in ({}, {"SUBSCANS": 2, "mychannel": 3}):
        reader = Bliss2Reader(redis_url, ScanKey(keys[0]), positions=positions)
        scan = Collected(read_until(reader, is_closed))
        reader.close()
        found = scan.subscans("SUBSCANS")
        assert [subscan.key for subscan in found] == keys[1:]
        assert [subscan.index for subscan in found] == [0, 1, 2]


def test_a_scan_with_a_file_of_its_own_goes_there(
    redis_url: str, recordings: Path, tmp_path: Path
) -> None:
    source = Bliss2Source(redis_url)
    since = source.last_entry()
    keys = replay(recordings / "separate_files.json.gz", redis_url, tmp_path, speed=0)
    for announced, key, folder in zip(
        source.new_scans(since, 5)[0], keys, ("scan0004", "scan0005"), strict=True
    ):
        description = source.describe(ScanKey(key))
        assert announced.target == description.target == f"{tmp_path}/{folder}/bliss_master.h5"
        assert description.index_file == f"{tmp_path}/data.h5"
    source.close()
