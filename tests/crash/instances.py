"""Two instances of one shared session, as if on two hosts, and the scans that they save."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import psutil
from crash.killing import Server, remembered, wait_until
from crash.live_scan import CHANNELS, LiveScan

from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings

TAKEN_OVER_S = 10.0
"""Longest time from the end of an instance to the first point that another one writes."""


def start_instance(redis_url: str, state_directory: Path) -> Server:
    """An instance with a memory of its own that listens to every session."""
    server = Server(
        SaverSettings(
            session="*",
            redis_url=redis_url,
            state_directory=str(state_directory),
            disk_warning_gb=0.0,
            disk_minimum_gb=0.0,
            workers=2,
            shared_session=True,
        )
    )
    server.wait_until_it_listens()
    return server


def reports_of(server: Server) -> dict[str, ScanReport]:
    """What an instance has reported last, by key."""
    return {report.key: report for report in remembered(server.settings).finished}


def holder(path: Path, *servers: Server) -> tuple[Server, Server, psutil.Process]:
    """The instance that has a file open to write, the other one, and the first one's worker."""
    found: list[tuple[Server, psutil.Process]] = []

    def is_found() -> bool:
        for server in servers:
            for process in server.family():
                try:
                    if any(Path(file.path) == path for file in process.open_files()):
                        found.append((server, process))
                except psutil.Error:
                    continue
        return bool(found)

    wait_until(is_found, 20, lambda: f"nobody has {path} open")
    first, process = found[0]
    (second,) = [server for server in servers if server is not first]
    return first, second, process


def n_points(scan: LiveScan) -> int:
    """Points of one channel that a reader of the file sees."""
    try:
        with h5py.File(scan.path, "r", locking=False) as file:
            return len(file[f"{scan.number}.1/measurement/epoch"])
    except (OSError, KeyError):
        return 0


def digest(folder: Path) -> dict[str, str]:
    """What every file in a folder holds, byte by byte."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def is_whole(scan: LiveScan) -> bool:
    """One entry, every point once and as published, nothing left beside the file."""
    path = Path(scan.path)
    with h5py.File(path, "r", locking=False) as file:
        entries = sorted(file)
        lengths = {len(file[f"{scan.number}.1/measurement/{channel}"]) for channel in CHANNELS}
    return (
        scan.n_lost() == 0
        and entries == [f"{scan.number}.1"]
        and lengths == {scan.n_points}
        and [entry.name for entry in path.parent.iterdir()] == [path.name]
    )
