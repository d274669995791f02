"""A Lima scan of thousands of frames, shown by reference while it runs.

    PYTHONPATH=tests python tests/benchmarks/images.py [--frames 10000] [--per-file 100]

The files of images are described as Lima does it, and have no pixels in them: the saver must
not read any. Ends with 1 if the virtual dataset was not seen growing, or is not whole at the
end. Measured on two quiet cores: 0.7 s of CPU with 100 frames per file; 1.5, 1.5 and 1.9 s with
one (10,000 files). An idle saver takes 0.5 to 0.7 s of these in that time.
"""

from __future__ import annotations

import argparse
import posixpath
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
from cameras import DATASET, Camera, start_camera
from watched import WatchedWriter

from tango_saver.demo.redis_server import RedisServer

_RECORDINGS = Path(__file__).parents[2] / "resources" / "recordings" / "bliss2"
_IMAGE = "/12.1/instrument/simcam/image"
_PERIOD_S = 0.1
_TIMEOUT_S = 60.0
_IDLE_S = 5.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--per-file", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1000.0, help="frames per second")
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of a frame")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="images-") as temporary:
        return _measure(Path(temporary), options)


def _measure(folder: Path, options: argparse.Namespace) -> int:
    saver = Path(sys.executable).parent / "tango-saver"
    with RedisServer(folder / "redis") as server:
        command = [str(saver), "serve", "--redis", server.url, "--session", "*"]
        state = {"XDG_STATE_HOME": str(folder / "state")}
        with WatchedWriter(command, folder / "writer.log", state) as writer:
            _rehearse(server.url, folder / "rehearsal")
            idle = _cpu_in(writer, _IDLE_S)
            root = folder / "data"
            _make_files(root, options)
            before, read_before = writer.cpu_seconds(), _read_mb(writer)
            started = time.monotonic()
            camera = _start(server.url, root, options.size, options.per_file)
            seen = _publish(camera, options)
            seen |= _finished(camera)
            took = time.monotonic() - started
            cpu, read = writer.cpu_seconds() - before, _read_mb(writer) - read_before
    whole = max(seen) == options.frames
    sys.stdout.write(
        f"{options.frames} frames of {options.size} x {options.size}, {options.per_file} per file,"
        f" in {took:.1f} s: {cpu:.2f} s of CPU (idle: {idle * took / _IDLE_S:.2f} s), "
        f"{read:.1f} MB read, {len(seen)} lengths seen, {'whole' if whole else 'NOT WHOLE'}\n"
    )
    return 0 if whole and len(seen) > 1 else 1


def _start(url: str, root: Path, size: int, per_file: int) -> Camera:
    def change(info: dict[str, Any]) -> None:
        info["shape"] = [size, size]

    return start_camera(_RECORDINGS, url, root, per_file=per_file, per_acquisition=0, change=change)


def _rehearse(url: str, root: Path) -> None:
    """A small scan, again until it is saved: then the saver listens and its worker runs."""
    for attempt in range(20):
        camera = _start(url, root / str(attempt), 8, 1)
        camera.close()
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if _is_over(camera):
                return
            time.sleep(0.05)
    raise RuntimeError("the saver saves nothing")


def _make_files(root: Path, options: argparse.Namespace) -> None:
    for number in range(-(-options.frames // options.per_file)):
        path = Camera("", root, "", options.per_file, 0).file(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        n_frames = min(options.per_file, options.frames - number * options.per_file)
        frame = (options.size, options.size)
        with h5py.File(path, "w") as file:
            detector = file.create_group(posixpath.dirname(DATASET))
            file["entry_0000/title"] = "Lima 2D detector acquisition"
            file["entry_0000/start_time"] = datetime.now(UTC).isoformat()
            detector.create_group("header")["acq_frame_nb"] = str(number * options.per_file)
            detector.create_dataset(
                posixpath.basename(DATASET), (n_frames, *frame), "<u2", chunks=(1, *frame),
                track_times=True,
            )  # fmt: skip
            file["entry_0000/end_time"] = datetime.now(UTC).isoformat()


def _publish(camera: Camera, options: argparse.Namespace) -> set[int]:
    """Publish the statuses of the camera; the lengths that a reader sees meanwhile."""
    seen: set[int] = set()
    started = time.monotonic()
    n_frames = 0
    while n_frames < options.frames:
        time.sleep(_PERIOD_S)
        n_frames = min(int((time.monotonic() - started) * options.rate), options.frames)
        camera.say(acquired=n_frames)
        seen.add(_length(camera))
    camera.close()
    return seen


def _finished(camera: Camera) -> set[int]:
    deadline = time.monotonic() + _TIMEOUT_S
    while not _is_over(camera) and time.monotonic() < deadline:
        time.sleep(0.02)
    return {_length(camera)}


def _length(camera: Camera) -> int:
    """Frames that a reader finds, the last of them read; 0 while there are none."""
    try:
        with h5py.File(camera.target, "r", locking=False) as file:
            dataset = file[_IMAGE]
            dataset[-1, 0, 0]
            return len(dataset)
    except (OSError, KeyError, RuntimeError):
        return 0


def _is_over(camera: Camera) -> bool:
    try:
        with h5py.File(camera.target, "r", locking=False) as file:
            return "end_time" in file["12.1"]
    except (OSError, KeyError, RuntimeError):
        return False


def _cpu_in(writer: WatchedWriter, seconds: float) -> float:
    before = writer.cpu_seconds()
    time.sleep(seconds)
    return writer.cpu_seconds() - before


def _read_mb(writer: WatchedWriter) -> float:
    """All that the processes of the saver have read of files and sockets, caches included."""
    total = 0
    for pid in writer.processes():
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("rchar:"):
                total += int(line.split()[1])
    return total / 1e6


if __name__ == "__main__":
    sys.exit(main())
