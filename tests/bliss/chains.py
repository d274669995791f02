"""Scans that no standard command makes; runs in the environment of BLISS, imported there."""

from __future__ import annotations

from bliss.common.counter import Counter
from bliss.scanning.acquisition.timer import SoftwareTimerMaster
from bliss.scanning.chain import AcquisitionChain
from bliss.scanning.scan import Scan
from bliss.scanning.toolbox import ChainBuilder


def two_timers(fast: Counter, slow: Counter) -> Scan:
    """Two independent top masters with different numbers of points, run."""
    chain = AcquisitionChain()
    for name, counter, points, seconds in (
        ("fast_timer", fast, 10, 0.03),
        ("slow_timer", slow, 3, 0.1),
    ):
        master = SoftwareTimerMaster(seconds, npoints=points, name=name)
        master.terminator = False
        parameters = {"npoints": points, "count_time": seconds, "type": "loopscan"}
        builder = ChainBuilder([counter])
        for node in builder.get_nodes_not_ready():
            node.set_parameters(
                acq_params=node.controller.get_default_chain_parameters(parameters, {})
            )
            for child in node.children:
                child.set_parameters(
                    acq_params=child.controller.get_default_chain_parameters(parameters, {})
                )
            chain.add(master, node)
    info = {"title": "two timers", "type": "two_timers", "npoints": 10, "count_time": 0.03}
    scan = Scan(chain, "two_timers", save=True, scan_info=info)
    scan.run()
    return scan
