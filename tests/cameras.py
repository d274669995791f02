"""A camera whose images are saved while a test looks on, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import redis
from publishing import changed_recording, each_document

from tango_saver.demo.publisher import SEAL, replay
from tango_saver.model.scan import ScanState

DATASET = "/entry_0000/ESRF-ID00/simcam/data"
CHANNEL = "simcam:image"
SHAPE = (16, 12)


@dataclass
class Camera:
    """The camera of a scan that was started and goes on until it is closed.

    The scan is the recorded one of ``lima_hdf5`` without the camera's own statuses.
    """

    redis_url: str
    root: Path
    key: str
    per_file: int
    per_acquisition: int
    n_statuses: int = 0
    channel: str = CHANNEL

    @property
    def target(self) -> Path:
        """The file of the scan."""
        return self.root / "data.h5"

    def file(self, number: int) -> Path:
        """One of the files of images."""
        return self.root / "scan0012" / f"simcam_{number:04d}.h5"

    def save(
        self, number: int, first: int, n_frames: int, *, dtype: str = "<u2", frame: Any = SHAPE
    ) -> None:
        """Save a file of frames whose pixels all have the frame's number in the scan."""
        self.file(number).parent.mkdir(parents=True, exist_ok=True)
        numbers = np.arange(first, first + n_frames).reshape(-1, *(1 for _ in frame))
        partly = self.file(number).with_suffix(".part")
        with h5py.File(partly, "w") as file:
            file[DATASET] = np.broadcast_to(numbers, (n_frames, *frame)).astype(dtype)
        partly.rename(self.file(number))

    def say(self, acquired: int, saved: int | None = None) -> None:
        """Publish how many frames there are."""
        saved = acquired if saved is None else saved
        self.publish({"last_index": acquired - 1, "last_index_saved": saved - 1})

    def publish(self, status: Any) -> None:
        """Publish any status."""
        with redis.Redis.from_url(self.redis_url) as client:
            self._publish(client, json.dumps(status).encode())

    def say_in_all(self, n_frames: int) -> None:
        """Publish how many frames there are, as Lima2 does from BLISS 2.3 on."""
        with redis.Redis.from_url(self.redis_url) as client:
            self._publish(client, np.uint32(n_frames).tobytes())

    def close(self) -> None:
        """End the stream of the camera, and the scan."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.fcall("seal_stream", 1, self._stream(client))
            document = self._document(client)
            document["info"] |= {"end_reason": "SUCCESS", "end_time": "2026-11-24T18:00:00+01:00"}
            state_stream = f"esrf:stream:{document['state_stream']['pk']}"
            client.execute_command("JSON.SET", self.key, ".", json.dumps(document))
            for state in (ScanState.STOPPED, ScanState.CLOSED):
                client.xadd(state_stream, {"state": int(state)})

    def _publish(self, client: redis.Redis, payload: bytes) -> None:
        fields = {"payload": payload}
        client.xadd(self._stream(client), fields, id=f"{self.n_statuses}-1")
        self.n_statuses += 1

    def _document(self, client: redis.Redis) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(client.execute_command("JSON.GET", self.key))
        return document

    def _stream(self, client: redis.Redis) -> str:
        return f"esrf:stream:{self._document(client)['data_streams'][self.channel]['pk']}"


def start_camera(
    recordings: Path,
    redis_url: str,
    root: Path,
    *,
    per_file: int = 10,
    per_acquisition: int = 25,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Camera:
    """Start a scan with a camera.

    Args:
        recordings: folder of the recorded scans.
        redis_url: where it is published.
        root: where its files go.
        per_file: frames in one file.
        per_acquisition: frames in one acquisition.
        change: of the camera's part of the document.
    """

    def rewrite(document: dict[str, Any]) -> None:
        info = document["data_streams"].get(CHANNEL, {}).get("info")
        if info is not None:
            info["lima_info"] |= {
                "frame_per_file": per_file, "frame_per_acquisition": per_acquisition
            }  # fmt: skip
            change(info)

    def without_statuses(scan: dict[str, Any]) -> None:
        each_document(scan, rewrite)
        scan["entries"] = [entry for entry in scan["entries"] if entry[1] != CHANNEL]
        assert any(entry[2] == SEAL for entry in scan["entries"])

    recording = changed_recording(
        recordings / "lima_hdf5.json.gz", root / "recordings", without_statuses
    )
    (key,) = replay(recording, redis_url, root, speed=0, stop_at=ScanState.STARTED)
    return Camera(redis_url, root, key, per_file, per_acquisition)


def start_lima2(recordings: Path, redis_url: str, root: Path, images: Path | None) -> Camera:
    """Start a scan with a camera whose frames are shown by a master file (``cam2``).

    The scan is the recorded one of ``lima2_v2`` without the statuses of that camera. Its other
    camera has saved its files when the scan begins.

    Args:
        recordings: folder of the recorded scans.
        redis_url: where it is published.
        root: where its files go.
        images: the recorded files.
    """
    channel = "cam2:frame"

    def without_statuses(scan: dict[str, Any]) -> None:
        scan["entries"] = [entry for entry in scan["entries"] if entry[1] != channel]

    recording = changed_recording(
        recordings / "lima2_v2.json.gz", root / "recordings", without_statuses
    )
    (key,) = replay(
        recording, redis_url, root, speed=0, writer="nexus", images=images,
        stop_at=ScanState.STARTED,
    )  # fmt: skip
    return Camera(redis_url, root, key, 0, 0, channel=channel)
