"""Scans that are made to break the saver: none does, and nothing is written where it must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import psutil
import pytest
import redis
from reading import SCALAR, SEAL, HandMadeScan
from saving import RunningSaver, StartSaver

from tango_saver.model.report import SavingState, ScanReport

MOST_MEMORY = 1 << 30
"""Bytes that a worker may ever have had."""
LONG = "x" * 10_000
Encodings = Mapping[str, Mapping[str, Any]]


class Session:
    """Publishes scans made by hand into one file, and looks at what becomes of them."""

    def __init__(self, client: redis.Redis, saver: RunningSaver, folder: Path) -> None:
        self.client = client
        self.saver = saver
        self.folder = folder
        self.keys: list[str] = []

    def scan(self, streams: Encodings | None = None, target: str = "", **info: Any) -> HandMadeScan:
        """A scan with the channel ``good`` and others; nothing of it is published yet."""
        scan = HandMadeScan(self.client, {"good": SCALAR, **(streams or {})})
        scan.document["id"]["path"] = target or str(self.folder / "data.h5")
        scan.document["info"].update({"data_writer": "nexus", **info})
        self.keys.append(scan.key)
        return scan

    def publish(self, scan: HandMadeScan, poison: Callable[[], Any] = lambda: None) -> None:
        """All of a scan."""
        scan.announce(0, 1, 2)
        scan.send("good", 0, range(5))
        poison()
        scan.seal()
        scan.announce(3, 4)

    def reports(self) -> list[ScanReport]:
        """What became of all scans so far, after a good one was saved behind them."""
        hostile = tuple(self.keys)
        self.publish(self.scan())
        *bad, good = self.saver.reports(self.keys, 20)
        assert good.state is SavingState.SAVED
        assert [channel.on_disk for channel in good.channels] == [5]
        assert self.saver.conductor.status().worker_restarts == 0
        assert len(bad) == len(hostile)
        return bad

    def report(self) -> ScanReport:
        """What became of the one scan so far."""
        (report,) = self.reports()
        return report

    def most_memory(self) -> int:
        """Bytes that the largest worker ever had."""
        peaks = []
        for pid in self.saver.worker_pids():
            lines = Path(f"/proc/{psutil.Process(pid).pid}/status").read_text().splitlines()
            peaks += [int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")]
        return max(peaks)


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.fixture
def session(redis_url: str, start_saver: StartSaver, tmp_path: Path) -> Iterator[Session]:
    """A session whose files must lie below one folder; nothing must appear anywhere else."""
    folder, outside = tmp_path / "data", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    with redis.Redis.from_url(redis_url) as client:
        yield Session(client, start_saver(allowed_roots=(str(folder),)), folder)
    ours = {folder, tmp_path / "state"}
    strange = [path for path in everything_in(tmp_path) if not ours & {path, *path.parents}]
    assert strange == [outside]


def on_disk(report: ScanReport, channel: str) -> int:
    return next(found.on_disk for found in report.channels if found.name == channel)


NAMES = (
    "a/b", "../../up", "..", ".", "/", "", "nul\0nul", LONG, "\ud7ff\uffff", "a\nb", "1.1", "é€"
)  # fmt: skip
TARGETS = (
    "{data}/a/../../outside/x.h5", "{data}/link/x.h5", "{data}/leads_out.h5", "{data}/" + LONG,
    "{data}/loop/x.h5", "{data}/" + "d/" * 2500 + "x.h5", "{data}", "{data}/", "/dev/null",
    "{data}/\ud7ff\0", "http://{data}/x.h5",
)  # fmt: skip


def test_a_name_can_be_anything(session: Session) -> None:
    for name in NAMES:
        scan = session.scan(
            {name: SCALAR},
            title=name,
            type=name,
            scan_meta_categories=[name],
            positioners={"positioners_start": {name: 1.0}},
            user_name=name,
            **{name: {"@NX_class": name, name: name}},
        )
        scan.document["id"]["name"] = name
        channels, devices = scan.document["info"]["channels"], scan.document["info"]["devices"]
        channels[name] = {"device": name, "unit": name, "display_name": name}
        devices[name] = {"name": name, "metadata": {name: {name: [name]}}}
        session.publish(scan, lambda scan=scan, name=name: scan.send(name, 0, range(4)))
    for name, report in zip(NAMES, session.reports(), strict=True):
        assert report.state is SavingState.SAVED, report.error
        assert (on_disk(report, "good"), on_disk(report, name)) == (5, 4)


def test_a_target_cannot_lead_out(session: Session, tmp_path: Path) -> None:
    (session.folder / "link").symlink_to(tmp_path / "outside")
    (session.folder / "leads_out.h5").symlink_to(tmp_path / "outside" / "x.h5")
    (session.folder / "loop").symlink_to(session.folder / "loop")
    for target in TARGETS:
        session.publish(session.scan(target=target.format(data=session.folder)))
    for report in session.reports():
        assert report.state is SavingState.FAILED
        assert report.error
    assert everything_in(tmp_path / "outside") == set()


def test_a_file_beside_the_target_cannot_lead_out(session: Session, tmp_path: Path) -> None:
    taken = session.folder / "data.h5"
    taken.write_text("no HDF5")
    scan = session.scan()
    number = scan.document["id"]["number"]
    (session.folder / f"data_{number}.h5").symlink_to(tmp_path / "outside" / "x.h5")
    session.publish(scan)
    (report,) = session.saver.reports([scan.key], 20)
    assert report.state is SavingState.SAVED
    assert report.target == str(session.folder / f"data_{number}_2.h5")
    assert everything_in(tmp_path / "outside") == set()
    assert taken.read_text() == "no HDF5"


ENCODINGS: tuple[dict[str, Any], ...] = (
    {"shape": [2**31, 2**31]},
    {"shape": [2**63]},
    {"shape": [10**30]},
    {"shape": [1] * 40},
    {"shape": [-1] * 31},
    {"shape": [0, 5]},
    {"shape": [2**27]},
    {"shape": [-1, 2**26]},
    {"dtype_str": "f99"},
    {"dtype_str": "(1000000,1000000)f8"},
    {"dtype_str": "f8," * 100_000},
    {"dtype_str": "O"},
    {"dtype_str": "S1000000000"},
    {"dtype_str": ["<f8"] * 1000},
    {"dtype_str": "<M8[25s/7]"},
)
"""Shapes that are huge or impossible, and dtypes that are no plain numbers."""


def test_a_huge_shape_or_a_strange_dtype_costs_its_channel(session: Session) -> None:
    for encoding in ENCODINGS:
        scan = session.scan({"bad": {**SCALAR, **encoding}}, npoints=2**39)
        session.publish(scan, lambda scan=scan: scan.send("bad", 0, range(3)))
    for report in session.reports():
        assert report.state is SavingState.FAILED
        assert "bad" in report.error
        assert on_disk(report, "good") == 5
    assert session.most_memory() < MOST_MEMORY


def test_wide_and_tall_points_of_one_channel_do_not_fill_the_memory(session: Session) -> None:
    side = 12_000
    scan = session.scan({"bad": {"type": "numeric", "dtype_str": "<f8", "shape": [-1, -1]}})

    def poison() -> None:
        with session.client.pipeline() as together:
            for index, shape in enumerate(([1, side], [side, 1])):
                payload = msgspec.msgpack.encode((shape, np.ones(side).tobytes()))
                together.xadd(scan.streams["bad"], {"payload": payload}, id=f"{index}-1")
            together.execute()

    session.publish(scan, poison)
    report = session.report()
    assert "bad" in report.error
    assert on_disk(report, "good") == 5
    assert session.most_memory() < MOST_MEMORY


JSON_BOMBS = (
    b"[" * 1_000_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"1" * 1_000_000, b"\xff\xfe",
    b'"\\ud800"', b"NaN" * 1000, b"{" + b'"k":1,' * 300_000 + b'"z":1}',
)  # fmt: skip
DOCUMENTS = ("[" * 100 + "]" * 100, '{"a":' * 120 + "1" + "}" * 120, '"text"', "5", '{"id": {}}')


def test_a_json_bomb_costs_its_channel_at_most(session: Session) -> None:
    for payload in JSON_BOMBS:
        scan = session.scan({"bad": {"type": "json"}})
        session.publish(
            scan, lambda scan=scan, text=payload: scan.send_raw("bad", "0-1", {"payload": text})
        )
    assert {on_disk(report, "good") for report in session.reports()} == {5}
    assert session.most_memory() < MOST_MEMORY


def test_a_document_that_becomes_a_bomb_costs_its_scan(session: Session) -> None:
    for document in DOCUMENTS:
        scan = session.scan()
        scan.announce(0)
        session.saver.wait_for(lambda status, key=scan.key: key in [r.key for r in status.running])
        session.client.execute_command("JSON.SET", scan.key, ".", document)
        for state in (1, 2, 3, 4):
            session.client.xadd(scan.state_stream, {"state": state})
    assert {report.state for report in session.reports()} == {SavingState.FAILED}


def test_a_stream_that_claims_a_trillion_points_can_be_saved_and_verified(
    session: Session,
) -> None:
    scan = session.scan({"bad": SCALAR})
    first = 2**40 - 10
    session.publish(scan, lambda: scan.send("bad", first, range(3)))
    report = session.report()
    assert on_disk(report, "good") == 5
    assert session.most_memory() < MOST_MEMORY
    from tango_saver.engine.verifying import verify  # noqa: PLC0415 - after the workers' start

    verdicts = list(verify([session.folder / "data.h5"]))
    findings = [text for verdict in verdicts for text in verdict.findings]
    assert f"bad: points 0 to {first - 1} were lost before" in findings


def test_streams_that_never_end_do_not_keep_a_closed_scan(session: Session) -> None:
    scan = session.scan({f"open{index}": SCALAR for index in range(50)})
    scan.announce(0, 1, 2)
    scan.send("good", 0, range(5))
    scan.announce(3, 4)
    report = session.report()
    assert on_disk(report, "good") == 5
    assert report.state is SavingState.FAILED


def test_a_scan_with_a_poisoned_stream_that_is_first_seen_when_prepared(
    session: Session,
) -> None:
    session.saver.conductor.stop()
    session.saver.wait_for(lambda status: status.state == "OFF")
    bad = session.scan({"bad": {**SCALAR, "dtype_str": "quaternion256"}})
    bad.announce(0, 1, 2)
    bad.send("good", 0, range(5))
    bad.send_raw("good", SEAL, {"id": "nonsense"})
    session.saver.conductor.start()
    session.saver.conductor.save_scan(bad.key)
    session.saver.wait_for(lambda status: status.current_scan)
    bad.announce(3, 4)
    report = session.report()
    assert report.state is SavingState.FAILED
    assert on_disk(report, "good") == 5


def test_links_of_hostile_names_lead_nowhere_else(session: Session) -> None:
    """Whatever a name looks like, the file has hard links and links inside of itself."""
    scan = session.scan({"../../../outside/x.h5::/data": SCALAR}, images_path="/../../{x}")
    session.publish(scan)
    session.report()
    with h5py.File(session.folder / "data.h5", "r") as file:
        links: list[str] = []

        def look(group: h5py.Group) -> None:
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    links.append(link.filename)
                elif isinstance(link, h5py.HardLink) and isinstance(group[name], h5py.Group):
                    look(group[name])

        look(file)
    assert links == []
