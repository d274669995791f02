"""Scans that make a saver work: several top masters, unknown lengths, spectra, groups.

In the BLISS shell, 1.11 as well as 2:

    DEMO [1]: complex_scans = user_script_load("complex_scans.py", export_global=False)
    DEMO [2]: complex_scans.two_top_masters(diode, diode2)

In library mode, in a Python that has BLISS and knows its Beacon (BEACON_HOST):

    python complex_scans.py SESSION FOLDER [NAME ...]

runs the scans of these names, by default all of them, with the counters of the session that
the functions below take by their names, and saves below FOLDER.
"""

from __future__ import annotations

import sys

import gevent
from bliss.common import scans
from bliss.common.counter import SamplingMode
from bliss.scanning.acquisition.counter import SamplingCounterAcquisitionSlave
from bliss.scanning.acquisition.timer import SoftwareTimerMaster
from bliss.scanning.chain import AcquisitionChain
from bliss.scanning.group import Sequence
from bliss.scanning.scan import Scan

try:
    from bliss.scanning.group import Group  # BLISS 1 alone: groups of scans made before
except ImportError:
    Group = None


def step_scan(robx, diode):
    """A motor, a timer and a counter: the plain case."""
    return scans.ascan(robx, 0, 1, 10, 0.01, diode)


def spectra(robx, mca):
    """A scan whose points are spectra, and many scalars beside them."""
    return scans.ascan(robx, 0, 1, 4, 0.02, mca)


def two_top_masters(diode, diode2, n_slow=3, n_fast=20):
    """Two timers that know nothing of each other: one scan, two entries in its file."""
    chain = AcquisitionChain()
    for name, counter, count_time, npoints in (
        ("slow", diode, 0.1, n_slow),
        ("fast", diode2, 0.01, n_fast),
    ):
        timer = SoftwareTimerMaster(count_time, npoints=npoints, name=name)
        # Without this the scan ends with the first of its timers.
        timer.terminator = False
        chain.add(
            timer, SamplingCounterAcquisitionSlave(counter, count_time=count_time, npoints=npoints)
        )
    scan = Scan(chain, "two_top_masters", scan_info={"title": "two_top_masters"})
    scan.run()
    return scan


def endless_scan(diode, seconds=0.6):
    """A scan whose number of points nobody knows, ended as by Ctrl-C."""
    scan = scans.timescan(0.03, diode, run=False)
    running = gevent.spawn(scan.run)
    gevent.sleep(seconds)
    running.kill(KeyboardInterrupt)
    return scan


def samples(diode3, npoints=5):
    """A counter that keeps its samples: their number differs from point to point."""
    mode, diode3.mode = diode3.mode, SamplingMode.SAMPLES
    try:
        return scans.loopscan(npoints, 0.02, diode3)
    finally:
        diode3.mode = mode


def sequence(robx, diode):
    """A scan of scans, that run one after the other."""
    both = Sequence(title="a_sequence")
    with both.sequence_context() as context:
        context.add_and_run(scans.loopscan(3, 0.01, diode, run=False))
        context.add_and_run(scans.ascan(robx, 0, 1, 3, 0.01, diode, run=False))
    return both.scan


def group(diode):
    """Two scans, one of them not saved, and the group that they are put into afterwards."""
    saved = scans.loopscan(2, 0.01, diode)
    unsaved = scans.loopscan(3, 0.01, diode, save=False)
    return Group(saved, unsaved, title="a_group").scan


ALL = {
    "step_scan": (step_scan, ("robx", "diode")),
    "spectra": (spectra, ("robx", "mca")),
    "two_top_masters": (two_top_masters, ("diode", "diode2")),
    "endless_scan": (endless_scan, ("diode",)),
    "samples": (samples, ("diode3",)),
    "sequence": (sequence, ("robx", "diode")),
}
if Group is not None:
    ALL["group"] = (group, ("diode",))


def run(session, folder, names=()):
    """Run scans in a session that is set up; yields name and scan."""
    saving = session.scan_saving
    saving.base_path = folder
    for name in names or ALL:
        function, objects = ALL[name]
        yield name, function(*(session.config.get(one) for one in objects))


def main(session_name, folder, *names):
    """Library mode: a session without its shell."""
    from bliss.config import static

    session = static.get_config().get(session_name)
    session.setup()
    for name, scan in run(session, folder, names):
        print(name, scan.scan_info["filename"], scan.state.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
