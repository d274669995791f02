"""Scans as users make them, one function for each; run in a session of BLISS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from bliss import current_session
from bliss.common import scans
from bliss.scanning.acquisition.motor import LinearStepTriggerMaster
from bliss.scanning.acquisition.timer import SoftwareTimerMaster
from bliss.scanning.chain import AcquisitionChain
from bliss.scanning.channel import AcquisitionChannel
from bliss.scanning.group import Sequence
from bliss.scanning.scan import Scan, ScanPreset
from bliss.scanning.scan_display import ScanDisplay
from bliss.scanning.scan_meta import get_user_scan_meta
from parts import add_counters, configured

_DIODES = "simulation_diode_sampling_controller:"


def ascan() -> None:
    """One motor; a calculated counter among the others."""
    robx, *counters = configured("robx", "diode", "diode2", "sim_gauss", "calc_ctrl")
    scans.ascan(robx, 0, 1, 10, 0.02, *counters)


def a2scan_pseudo() -> None:
    """A pseudo motor (gap of slits) and a real one."""
    gap, robx, *counters = configured("s1vg", "robx", "diode", "diode_const")
    scans.a2scan(gap, 0, 0.5, robx, 0, 1, 5, 0.01, *counters)


def loopscan_modes() -> None:
    """Every mode of sampling, and an integrating counter."""
    modes = ("stats", "integ", "istats", "single", "last")
    counters = ["diode", *(f"diode_{mode}" for mode in modes), "integ_diode"]
    scans.loopscan(6, 0.05, *configured(*counters))


def samples() -> None:
    """Points with a variable number of samples."""
    scans.loopscan(5, 0.08, *configured("diode_samples", "diode"))


def amesh() -> None:
    """Two motors, there and back."""
    robx, roby, *counters = configured("robx", "roby", "diode", "diode2")
    scans.amesh(robx, 0, 1, 4, roby, 10, 11, 3, 0.005, *counters, backnforth=True)


def lookupscan() -> None:
    """Two motors to given positions."""
    robx, roby, diode = configured("robx", "roby", "diode")
    positions = [(robx, (0, 0.1, 0.5, 0.7)), (roby, (1, 2, 4, 8))]
    scans.lookupscan(positions, 0.02, diode)


def ct_saved() -> None:
    """Counts that are saved."""
    counters = configured("diode", "integ_diode")
    scans.sct(0.05, *counters)
    scans.ct(0.05, *counters, save=True)


def ct_unsaved() -> None:
    """A count that must not be saved, then a scan that must."""
    diode = configured("diode")
    scans.ct(0.05, *diode)
    scans.loopscan(2, 0.01, *diode)


def mca() -> None:
    """Spectra, their statistics and regions of interest."""
    simulator, diode = configured("simu1", "diode")
    if not len(simulator.rois):
        simulator.rois.set("roi1", 500, 550)
        simulator.rois.set("roi2", 600, 650)
    simulator.spectrum_size = 256
    simulator._init_time = simulator._prepare_time = simulator._cleanup_time = 0
    counters = [
        counter
        for counter in simulator.counters
        if counter.name.startswith("roi") or counter.name.endswith(("_det0", "_det1"))
    ]
    scans.loopscan(4, 0.02, *counters, diode)


def two_timers() -> None:
    """Two top masters with different numbers of points."""
    chain = AcquisitionChain()
    fast = SoftwareTimerMaster(0.03, npoints=10, name="fast_timer")
    slow = SoftwareTimerMaster(0.1, npoints=3, name="slow_timer")
    fast.terminator = slow.terminator = False
    add_counters(chain, fast, configured("diode", "diode2"), 10, 0.03)
    add_counters(chain, slow, configured("diode3", "diode_const"), 3, 0.1)
    info = {"title": "two timers", "type": "two_timers", "npoints": 10, "count_time": 0.03}
    Scan(chain, "two_timers", save=True, scan_info=info).run()


def stepper_and_timer() -> None:
    """A motor with a timer below it, and a timer of its own."""
    chain = AcquisitionChain()
    axis = LinearStepTriggerMaster(5, *configured("robx"), 0, 1, name="axis")
    below = SoftwareTimerMaster(0.02, npoints=5, name="timer1")
    other = SoftwareTimerMaster(0.05, npoints=4, name="timer2")
    axis.terminator = other.terminator = False
    step: dict[str, Any] = {"type": "ascan", "start": [0], "stop": [1]}
    add_counters(chain, below, configured("diode", "diode2"), 5, 0.02, step)
    chain.add(axis, below)
    add_counters(chain, other, configured("diode3"), 4, 0.05)
    info = {"title": "aloopscan", "type": "aloopscan", "npoints": 5, "count_time": 0.02}
    Scan(chain, "stepper_and_timer", save=True, scan_info=info).run()


def sequence() -> None:
    """A sequence with a channel of its own and three scans, the last one added while it runs."""
    diode, diode2, diode3, robx = configured("diode", "diode2", "diode3", "robx")
    group = Sequence(title="my_sequence")
    channel = AcquisitionChannel("mychannel", float, ())
    group.add_custom_channel(channel)
    with group.sequence_context() as context:
        context.add_and_run(scans.loopscan(3, 0.01, diode, run=False))
        channel.emit([1.5, 2.5])
        context.add_and_run(scans.ascan(robx, 0, 1, 4, 0.01, diode, diode2, run=False))
        channel.emit(3.5)
        last = scans.loopscan(2, 0.01, diode3, run=False)
        running = gevent.spawn(last.run)
        context.add(last)
        running.join()
        context.wait_all_subscans(timeout=5)


@contextmanager
def _user_metadata() -> Iterator[None]:
    metadata = get_user_scan_meta()
    metadata.add_categories(["sample"])
    sample = {
        "@NX_class": "NXsample",
        "name": "LaB6",
        "temperature": 295.3,
        "temperature@units": "K",
        "description": "Größe in µm",
    }
    slit = {"@NX_class": "NXslit", "x_gap": 1.5, "x_gap@units": "mm"}
    technique = {"@NX_class": "NXsubentry", "element": "Fe", "edge": "K"}
    metadata.sample.set("mysample", {"sample": sample})
    metadata.instrument.set("slits", {"instrument": {"slit1": slit}})
    metadata.technique.set("xas", lambda _scan: {"technique": {"xas": technique}})
    metadata.technique.set("late", lambda _scan: {"technique": {"late_value": 42}})
    yield
    for category in (metadata.sample, metadata.instrument, metadata.technique):
        for name in ("mysample", "slits", "xas", "late"):
            if category.is_set(name):
                category.metadata.pop(name)


def metadata() -> None:
    """Metadata of the user at every level, nested, of odd types; a comment."""
    lens = {
        "@NX_class": "NXlens_em",
        "aberration": {"@NX_class": "NXaberration", "c": [1.0, 2.0, 3.0]},
    }
    collection = {
        "@NX_class": "NXcollection", "list": [1, 2, 3], "ragged": [[1, 2], [3]], "empty": [],
        "none": None, "flag": True, "text": "plain", "strings": ["a", "bb", "é"],
        "matrix": [[1, 2], [3, 4]], "nan": float("nan"), "inf": float("inf"),
        "big": 2**40, "with/slash": 1, "link>": "mycollection/list",
    }  # fmt: skip
    info = {
        "instrument": {"@NX_class": "NXinstrument", "lens": lens},
        "mycollection": collection,
        "user": {"name": "alice", "no_nx_class": {"deep": {"deeper": "value"}}},
        "sample": {"from_scan_info": 1},
    }
    with _user_metadata():
        scan = scans.loopscan(3, 0.01, *configured("diode"), run=False, scan_info=info)
        scan.add_comment("first comment")
        scan.run()


class _Move(ScanPreset):
    """Moves a motor that takes no part in the scan."""

    def _move(self, distance: float) -> None:
        (robz,) = configured("robz")
        robz.move(robz.position + distance)

    def start(self, _scan: Scan) -> None:
        """Before the first point."""
        self._move(1)

    def stop(self, _scan: Scan) -> None:
        """After the last one."""
        self._move(2)


def positioners_move() -> None:
    """The positions at the start and at the end differ."""
    robx, diode = configured("robx", "diode")
    scan = scans.ascan(robx, 0, 1, 3, 0.01, diode, run=False)
    scan.add_preset(_Move())
    scan.run()


def quick200() -> None:
    """200 scans as fast as BLISS can run them, in one file."""
    counter = configured("diode_const")
    for _ in range(200):
        scans.loopscan(2, 0.0, *counter)


def parallel() -> None:
    """Three scans at once in one file."""
    planned = (("diode", 8, 0.03), ("diode3", 5, 0.05), ("diode_const", 12, 0.02))
    prepared = [
        scans.loopscan(n_points, seconds, *configured(name), run=False)
        for name, n_points, seconds in planned
    ]
    gevent.joinall([gevent.spawn(scan.run) for scan in prepared], raise_error=True)


def esrf_policy() -> None:
    """The data policy of the ESRF: two datasets of a proposal, with master files."""
    writer = current_session.scan_saving.writer
    robx, diode = configured("robx", "diode")
    current_session.enable_esrf_data_policy()
    try:
        saving = current_session.scan_saving
        saving.writer = writer
        saving.newproposal("hg123")
        saving.newsample("sampleA")
        saving.newdataset("area1")
        saving.dataset["Sample_name"] = "LaB6"
        saving.dataset["Sample_description"] = "standard"
        scans.loopscan(3, 0.01, diode)
        saving.newdataset("area2")
        scans.ascan(robx, 0, 1, 3, 0.01, diode)
    finally:
        current_session.disable_esrf_data_policy()


def plots() -> None:
    """Plots that the scan describes."""
    robx, roby, *counters = configured("robx", "roby", "diode", "diode2")
    scan = scans.amesh(robx, 0, 1, 3, roby, 0, 1, 2, 0.005, *counters, run=False)
    info = scan.scan_info
    info.add_curve_plot(name="curve", x="axis:robx", yleft=f"{_DIODES}diode")
    info.add_scatter_plot(name="scatter", x="axis:robx", y="axis:roby", value=f"{_DIODES}diode2")
    scan.run()


def plotselect() -> None:
    """Channels that the user has chosen to see, of a mesh and of a line."""
    robx, roby, *counters = configured("robx", "roby", "diode", "diode2")
    display = ScanDisplay()
    try:
        display.displayed_channels = [f"{_DIODES}diode2", f"{_DIODES}diode"]
        scans.amesh(robx, 0, 1, 3, roby, 0, 1, 2, 0.005, *counters)
        display.displayed_channels = [f"{_DIODES}diode"]
        scans.ascan(robx, 0, 1, 3, 0.005, *counters)
    finally:
        display.displayed_channels = []


def separate_files() -> None:
    """Every scan in a file of its own."""
    writer = current_session.scan_saving.writer_object
    writer.separate_scan_files = True
    try:
        for _ in range(2):
            scans.loopscan(3, 0.01, *configured("diode"))
    finally:
        writer._options.clear()
