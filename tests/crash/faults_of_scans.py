"""What the session publishes cannot be used, wholly or in part."""

from __future__ import annotations

from crash.fault_runs import Faults, Ground
from crash.live_scan import CHANNELS
from reading import HandMadeScan

from tango_saver.model.scan import ScanState
from tango_saver.model.status import SaverState

faults = Faults("Malformed scans")
N_POINTS = 20


def _run(
    ground: Ground, change: object, *, n_lost: int = 0, reason: str = "", **options: object
) -> None:
    saver = ground.saver(**options)
    scan = ground.scan(n_points=N_POINTS, change=change)  # type: ignore[arg-type]
    ground.judge(saver, scan.start(), n_expected_lost=n_lost, reason=reason)
    status = saver.conductor.status()
    if status.state is SaverState.ALARM:
        ground.keep_words(status)
    ground.next_scans(saver)


def _path(path: str) -> object:
    def change(scan: HandMadeScan) -> None:
        scan.document["id"]["path"] = scan.document["info"]["filename"] = path

    return change


def _refused_path(words: str, path: str) -> None:
    @faults(words)
    def run(ground: Ground) -> None:
        _run(
            ground, _path(path), n_lost=N_POINTS * len(CHANNELS),
            reason="refused: nothing is written outside", allowed_roots=(str(ground.folder),),
        )  # fmt: skip


_refused_path("path `rel.h5`", "rel.h5")
_refused_path("path `../up.h5`", "../up.h5")
_refused_path("path `/data/../escaped.h5`", "/data/../escaped.h5")
_refused_path("path outside `allowed_roots`", "/nowhere/data.h5")


@faults("a channel that the scan names has no stream")
def no_stream(ground: Ground) -> None:
    def change(scan: HandMadeScan) -> None:
        scan.document["info"]["channels"]["ghost"] = {"device": "d"}
        scan.document["info"]["acquisition_chain"]["d"]["scalars"].append("ghost")

    _run(ground, change)


@faults("no acquisition chain, devices or channels")
def no_chain(ground: Ground) -> None:
    def change(scan: HandMadeScan) -> None:
        for name in ("acquisition_chain", "devices", "channels"):
            del scan.document["info"][name]

    _run(ground, change)


@faults("fields of the wrong type")
def wrong_types(ground: Ground) -> None:
    def change(scan: HandMadeScan) -> None:
        scan.document["info"] |= {
            "acquisition_chain": 5, "devices": [1], "title": {"a": 1}, "npoints": "many",
        }  # fmt: skip

    _run(ground, change)


def _bad_encoding(scan: HandMadeScan) -> None:
    scan.document["data_streams"]["diode1"]["encoding"] = {
        "type": "numeric", "dtype_str": "quaternion", "shape": [],
    }  # fmt: skip


@faults("one stream with a dtype that does not exist, seen from CREATED on")
def bad_dtype(ground: Ground) -> None:
    _run(ground, _bad_encoding, n_lost=N_POINTS, reason="that channel cannot be decoded")


@faults("the same, first seen when the scan is over")
def bad_dtype_late(ground: Ground) -> None:
    saver = ground.saver()
    saver.conductor.shutdown(10)
    scan = ground.scan(n_points=N_POINTS, change=_bad_encoding).start().join()
    again = ground.saver()
    ground.judge(again, scan, n_expected_lost=N_POINTS, reason="that channel cannot be decoded")
    ground.next_scans(again)
    ground.keep_words(again.conductor.status())


@faults("one stream with an unknown encoding")
def bad_plugin(ground: Ground) -> None:
    def change(scan: HandMadeScan) -> None:
        scan.document["data_streams"]["diode1"]["encoding"] = {"type": "telepathy"}

    _run(ground, change, n_lost=N_POINTS, reason="that channel cannot be decoded")


@faults("payloads that are no values of the stream's type")
def bad_payload(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=N_POINTS)
    scan.raw.streams["noise"] = "esrf:stream:NOISE"
    scan.raw.document["data_streams"]["noise"] = {
        "pk": "NOISE", "encoding": {"type": "numeric", "dtype_str": "<f8", "shape": []}, "info": {},
    }  # fmt: skip
    ground.client.xadd("esrf:stream:NOISE", {"payload": b"abc", "len": 7}, id="0-1")
    del scan.raw.streams["noise"]
    ground.judge(saver, scan.start())
    ground.next_scans(saver)
    ground.keep_words(saver.conductor.status())


@faults("a stream that is never sealed although the scan is closed")
def unsealed(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=N_POINTS).start(closes=False).join()
    scan.raw.seal("diode2", "diode3", "epoch", "spectrum")
    scan.raw.announce(ScanState.STOPPED, ScanState.CLOSED)
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("a document that does not say what scan it is")
def nameless(ground: Ground) -> None:
    def change(scan: HandMadeScan) -> None:
        scan.document["id"] = {"pk": "nothing"}

    saver = ground.saver()
    scan = ground.scan(n_points=N_POINTS, change=change).start().join()
    ground.told(saver, lambda status: status.state is SaverState.ALARM)
    ground.note.n_lost = scan.n_lost()
    ground.note.n_expected_lost = ground.note.n_lost
    ground.note.reason = "nobody can say which file they belong to"
    ground.note.states = " → ".join(state.value for state in saver.states())
    ground.next_scans(saver)
