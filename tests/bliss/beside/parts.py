"""What the scenarios are put together from; imported in the environment of BLISS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bliss.common.counter import Counter
from bliss.config import static
from bliss.scanning.acquisition.timer import SoftwareTimerMaster
from bliss.scanning.chain import AcquisitionChain, AcquisitionMaster, AcquisitionSlave
from bliss.scanning.channel import AcquisitionChannel
from bliss.scanning.scan import Scan
from bliss.scanning.toolbox import ChainBuilder

ChannelSpec = tuple[str, Any, tuple[int, ...], str | None]
"""Name, dtype, shape of a point, unit."""


def configured(*names: str) -> list[Any]:
    """Objects of the configuration, motors and counters, by their names."""
    config = static.get_config()
    return [config.get(name) for name in names]


class Emitter(AcquisitionSlave):
    """A device that emits on its channels what a function gives for every trigger.

    Args:
        name: of the device.
        channels: that it has.
        values: one value for each channel, None for those that emit nothing.
    """

    def __init__(
        self, name: str, channels: Sequence[ChannelSpec], values: Callable[[int], Sequence[Any]]
    ) -> None:
        super().__init__(None, name=name, npoints=1, prepare_once=True, start_once=True)
        self._values = values
        self._n_triggers = 0
        for channel, dtype, shape, unit in channels:
            self.channels.append(AcquisitionChannel(f"{name}:{channel}", dtype, shape, unit=unit))

    def prepare(self) -> None:
        """Nothing to do."""

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def trigger(self) -> None:
        """Emit the next values."""
        values = self._values(self._n_triggers)
        self._n_triggers += 1
        for channel, value in zip(self.channels, values, strict=True):
            if value is not None:
                channel.emit(value)


def scan_of(
    name: str, n_points: int, device: AcquisitionSlave | AcquisitionMaster, seconds: float = 0.01
) -> Scan:
    """A scan of a timer that triggers one device, not run yet."""
    chain = AcquisitionChain()
    chain.add(SoftwareTimerMaster(seconds, npoints=n_points, name="timer"), device)
    info = {"npoints": n_points, "count_time": seconds, "type": name, "title": name}
    return Scan(chain, name, save=True, scan_info=info)


def add_counters(
    chain: AcquisitionChain,
    master: AcquisitionMaster,
    counters: Sequence[Counter],
    n_points: int,
    seconds: float,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Put counters below a master as the standard scans do.

    Args:
        chain: of the scan.
        master: that triggers them.
        counters: of any kind.
        n_points: of the master.
        seconds: count time.
        more: parameters of the scan beside these, ``type`` above all.
    """
    parameters = {"npoints": n_points, "count_time": seconds, "type": "loopscan", **(more or {})}
    for node in ChainBuilder(counters).get_nodes_not_ready():
        for part in (node, *node.children):
            own = part.controller.get_default_chain_parameters(parameters, {})
            part.set_parameters(acq_params=own)
        chain.add(master, node)
