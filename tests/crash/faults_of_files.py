"""The file, its folder or its disk cannot be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
from crash.fault_runs import Faults, Ground, wait
from disks import fill, holder, mounted
from saving import points_in

from tango_saver.model.status import SaverState

faults = Faults("Files and disks")


def _existing(ground: Ground, saver: object) -> Path:
    scan = ground.scan(n_points=3).start().join()
    saver.reports([scan.key])  # type: ignore[attr-defined]
    return Path(scan.path)


@faults("disk full in mid-scan, room again after 3 s")
def disk_full(ground: Ground) -> None:
    with mounted(ground.folder / "disk") as disk:
        saver = ground.saver()
        scan = ground.scan("../disk/data.h5", n_points=200)
        scan.path = str(disk / "data.h5")
        scan.raw.document["id"]["path"] = scan.path
        scan.start()
        saver.wait_for(lambda status: points_in(status) > 50)
        filler = fill(disk)
        ground.told(saver, lambda status: "when it can be written" in status.status)
        wait(3)
        filler.unlink()
        ground.judge(saver, scan)
        ground.next_scans(saver)


@faults("disk full in mid-scan for good, with `fallback_roots`")
def disk_stays_full(ground: Ground) -> None:
    with mounted(ground.folder / "disk") as disk:
        saver = ground.saver(fallback_roots=(str(ground.folder / "reserve"),))
        scan = ground.scan(n_points=200)
        scan.path = str(disk / "data.h5")
        scan.raw.document["id"]["path"] = scan.path
        scan.start()
        saver.wait_for(lambda status: points_in(status) > 50)
        fill(disk)
        ground.told(saver, lambda status: "when it can be written" in status.status)
        ground.judge(saver, scan)
        ground.next_scans(saver)


@faults("read-only file system when the scan begins, writable 3 s later")
def read_only(ground: Ground) -> None:
    with mounted(ground.folder / "disk") as disk:
        saver = ground.saver()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        scan = ground.scan(n_points=20)
        scan.path = str(disk / "data.h5")
        scan.raw.document["id"]["path"] = scan.path
        scan.start().join()
        ground.told(saver, lambda status: "until" in status.status and status.finished)
        wait(3)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        saver.wait_for(lambda status: status.scans_saved == 1)
        report = saver.conductor.status().finished[0]
        ground.note_report(report, scan)
        ground.note.states = " → ".join(state.value for state in saver.states())
        ground.next_scans(saver)


@faults("file system gone in mid-scan (its folder is empty), back after 3 s")
def vanished(ground: Ground) -> None:
    with mounted(ground.folder / "disk") as disk:
        saver = ground.saver()
        scan = ground.scan(n_points=200)
        scan.path = str(disk / "data.h5")
        scan.raw.document["id"]["path"] = scan.path
        scan.start()
        saver.wait_for(lambda status: points_in(status) > 50)
        away = ground.folder / "away"
        away.mkdir()
        subprocess.run(["mount", "--move", str(disk), str(away)], check=True)
        ground.told(saver, lambda status: status.state is SaverState.ALARM)
        wait(3)
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "--move", str(away), str(disk)], check=True)
        ground.judge(saver, scan)
        ground.next_scans(saver)


@faults("file deleted in mid-scan")
def deleted(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan().start()
    saver.wait_for(lambda status: points_in(status) > 50)
    Path(scan.path).unlink()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("file damaged in mid-scan, and the worker dies")
def damaged(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan().start()
    saver.wait_for(lambda status: points_in(status) > 50)
    from saving import worker_of  # noqa: PLC0415 - the only one

    worker = worker_of(Path(scan.path))
    worker.suspend()
    with Path(scan.path).open("r+b") as file:
        file.write(bytes(4096))
    worker.kill()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("a reader holds the file, with HDF5's default lock, from before the scan to after it")
def held(ground: Ground) -> None:
    saver = ground.saver()
    path = _existing(ground, saver)
    with holder(path):
        scan = ground.scan(n_points=60).start()
        ground.judge(saver, scan)
        ground.told(saver, lambda status: "is to be linked" in status.status)
    name = f"{scan.number}.1"

    def is_linked(_: object) -> bool:
        with h5py.File(path, "r", locking=False) as file:
            return name in file

    saver.wait_for(is_linked)
    ground.note.report += f". Linked in later: `{path.name}::/{name}`"
    ground.next_scans(saver)


@faults("a reader opens the file with the default lock in mid-scan")
def reader_refused(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan().start()
    saver.wait_for(lambda status: points_in(status) > 50)
    code = f"import h5py; h5py.File({scan.path!r}, 'r')"
    reader = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False, timeout=20
    )
    ground.note.said = f"the reader is refused (its exit code {reader.returncode})"
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("a reader opens the file with `locking=False` in mid-scan")
def reader_welcome(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan().start()
    saver.wait_for(lambda status: points_in(status) > 50)
    with holder(Path(scan.path), locking=False) as process:
        assert process.poll() is None
        ground.note.said = "the reader reads"
        ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("the file is no HDF5 file")
def text_file(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=20)
    Path(scan.path).parent.mkdir()
    Path(scan.path).write_text("my notes")
    ground.judge(saver, scan.start())
    assert Path(scan.path).read_text() == "my notes"
    ground.next_scans(saver)


@faults("scan 1 published again into the same file")
def again(ground: Ground) -> None:
    saver = ground.saver()
    first = ground.scan(n_points=20, number=1).start().join()
    saver.reports([first.key])
    scan = ground.scan(n_points=20, number=1).start()
    ground.judge(saver, scan)
    assert first.n_lost() == 0
    ground.next_scans(saver)


@faults("two scans at once into one file")
def two_at_once(ground: Ground) -> None:
    saver = ground.saver()
    scans = [ground.scan().start() for _ in range(2)]
    ground.judge(saver, scans[0])
    ground.judge(saver, scans[1])
    ground.note.n_lost += scans[0].n_lost()
    ground.next_scans(saver)
