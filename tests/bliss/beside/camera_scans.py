"""Scans with cameras, one function for each; run in a session of BLISS."""

from __future__ import annotations

import gevent
from bliss import current_session
from bliss.scanning.acquisition.timer import SoftwareTimerMaster
from bliss.scanning.chain import AcquisitionChain
from bliss.scanning.scan import Scan
from bliss.scanning.scan_meta import get_user_scan_meta
from camera import Camera
from parts import add_counters, configured


def _run(camera: Camera, n_points: int, seconds: float = 0.005) -> None:
    # Its metadata category exists once this was asked for.
    _ = current_session.scan_saving.writer_object
    device = {"device_type": "lima2" if camera.lima2 else "lima", "device_info": {"type": "lima"}}
    metadata = get_user_scan_meta().nexuswriter
    metadata.set("camera", lambda _scan: {"devices": {camera.channel.name: device}})
    chain = AcquisitionChain()
    timer = SoftwareTimerMaster(seconds, npoints=n_points, name="timer")
    chain.add(timer, camera)
    add_counters(chain, timer, configured("diode"), n_points, seconds)
    info = {"npoints": n_points, "count_time": seconds, "type": "limascan", "title": "limascan"}
    try:
        Scan(chain, "limascan", save=True, scan_info=info).run()
    finally:
        metadata.remove("camera")


def lima_hdf5() -> None:
    """25 frames, 10 in a file: 3 files."""
    _run(Camera(25), 25)


def lima_edf() -> None:
    """The same in another format."""
    _run(Camera(25, edf=True), 25)


def lima_unsaved() -> None:
    """Frames that nobody saves."""
    _run(Camera(6, saving=False), 6)


def lima_short() -> None:
    """25 frames promised, aborted after some: fewer images than points."""
    running = gevent.spawn(_run, Camera(25), 25, 0.05)
    gevent.sleep(1.0)
    running.kill(KeyboardInterrupt)


def lima2_hdf5() -> None:
    """25 frames, each with one channel."""
    _run(Camera(25, lima2=True), 25)
