"""Prometheus metrics of the savers, over HTTP on a port that a property names.

Each value is taken from the snapshot that the attributes are taken from. Devices of the server
that name the same port are shown together, each as series of its own (label ``device``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tango_saver import __version__
from tango_saver.control.shown import Snapshot
from tango_saver.model.status import SaverState

TakeSnapshot: TypeAlias = Callable[[], Snapshot]

_PREFIX = "tango_saver_"
_LABELS = ("device", "session")
_MEGA = 1e6
_GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a saver; Prometheus wants base units."""

    name: str
    doc: str
    value: Callable[[Snapshot], float]
    counts: bool = False
    """Whether it only grows, until the server or its settings change."""

    @property
    def full_name(self) -> str:
        """As Prometheus shows it."""
        return f"{_PREFIX}{self.name}{'_total' if self.counts else ''}"


MEASURES = (
    Measure("scans_saved", "Scans saved completely.", lambda s: s.status.scans_saved, counts=True),
    Measure(
        "scans_failed", "Scans not or not wholly saved.", lambda s: s.status.scans_failed,
        counts=True,
    ),
    Measure("scans_running", "Scans being saved.", lambda s: len(s.status.running)),
    Measure(
        "points_saved", "Points written, over all channels.", lambda s: s.status.points_saved,
        counts=True,
    ),
    Measure(
        "points_lost", "Points that Redis dropped before they could be read.",
        lambda s: s.status.points_lost, counts=True,
    ),
    Measure(
        "bytes_saved", "Size of the points written, before compression.",
        lambda s: s.status.bytes_saved, counts=True,
    ),
    Measure(
        "data_rate_bytes_per_second", "Points written over the last seconds.",
        lambda s: s.status.data_rate * _MEGA,
    ),
    Measure(
        "lag_seconds", "Age of the oldest point that is not yet visible in its file.",
        lambda s: s.status.lag_s,
    ),
    Measure(
        "disk_free_bytes", "Free space where the last file is; NaN before the first scan.",
        lambda s: s.status.disk_free_gb * _GIGA,
    ),
    Measure(
        "time_to_full_disk_seconds", "Until that disk is full at the present data rate.",
        lambda s: s.status.disk_time_left_s,
    ),
    Measure(
        "time_to_data_loss_seconds", "At least; until Redis drops points that are not on disk.",
        lambda s: s.status.seconds_to_data_loss,
    ),
    Measure("workers", "Worker processes alive.", lambda s: s.status.workers),
    Measure(
        "worker_restarts", "Worker processes that died and were replaced.",
        lambda s: s.status.worker_restarts, counts=True,
    ),
)  # fmt: skip
STATE = f"{_PREFIX}state"
STATE_DOC = "1 for the state that the saver is in, 0 for the others."
BUILD = f"{_PREFIX}build_info"
BUILD_DOC = "Always 1; its label is the version of tango_saver."


class SaverMetrics(Collector):
    """Makes the metrics anew from the snapshots whenever Prometheus asks."""

    def __init__(self) -> None:
        self._savers: dict[str, TakeSnapshot] = {}

    @property
    def devices(self) -> frozenset[str]:
        """Names of those that are shown."""
        return frozenset(self._savers)

    def add(self, device: str, snapshot: TakeSnapshot) -> None:
        """Show a device, or another snapshot for it."""
        self._savers = {**self._savers, device: snapshot}

    def remove(self, device: str) -> None:
        """Show a device no longer."""
        self._savers = {name: take for name, take in self._savers.items() if name != device}

    def collect(self) -> Iterator[Metric]:
        """Called by the HTTP server, in a thread of its own for every request."""
        shown = {device: take() for device, take in self._savers.items()}
        for measure in MEASURES:
            family = CounterMetricFamily if measure.counts else GaugeMetricFamily
            metric = family(_PREFIX + measure.name, measure.doc, labels=_LABELS)
            for device, snapshot in shown.items():
                metric.add_metric([device, snapshot.settings.session], measure.value(snapshot))
            yield metric
        states = GaugeMetricFamily(STATE, STATE_DOC, labels=(*_LABELS, "state"))
        for device, snapshot in shown.items():
            for state in SaverState:
                labels = [device, snapshot.settings.session, state.value]
                states.add_metric(labels, float(snapshot.status.state is state))
        yield states
        build = GaugeMetricFamily(BUILD, BUILD_DOC, labels=("version",))
        build.add_metric([__version__], 1.0)
        yield build


@dataclass(eq=False)
class _OpenPort:
    metrics: SaverMetrics
    server: WSGIServer
    thread: threading.Thread


class MetricsPorts:
    """The ports of the server process; each is open as long as a device names it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, _OpenPort] = {}

    def show(self, device: str, port: int, snapshot: TakeSnapshot) -> str:
        """Show a device on this port, and on no other any more.

        Args:
            device: full name.
            port: TCP port on all interfaces, 0 for none.
            snapshot: called from the threads of the HTTP server; must not wait.

        Returns:
            why it cannot be shown, a sentence; empty if it is.
        """
        with self._lock:
            for number, others in tuple(self._open.items()):
                if number != port:
                    others.metrics.remove(device)
                    self._close_unused(number)
            if not port:
                return ""
            if port not in self._open:
                try:
                    self._open[port] = _listen(port)
                except OSError as error:
                    return (
                        f"metrics_port {port} cannot be opened: {error.strerror or error}."
                        " Free the port or set another one, then run Init"
                    )
            self._open[port].metrics.add(device, snapshot)
            return ""

    def close(self) -> None:
        """Close all ports."""
        with self._lock:
            for number, port in tuple(self._open.items()):
                for device in port.metrics.devices:
                    port.metrics.remove(device)
                self._close_unused(number)

    def _close_unused(self, number: int) -> None:
        port = self._open[number]
        if port.metrics.devices:
            return
        del self._open[number]
        port.server.shutdown()
        port.server.server_close()
        port.thread.join()


def _listen(port: int) -> _OpenPort:
    metrics, registry = SaverMetrics(), CollectorRegistry()
    registry.register(metrics)
    server, thread = start_http_server(port, registry=registry)
    return _OpenPort(metrics, server, thread)
