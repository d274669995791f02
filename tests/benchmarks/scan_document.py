"""The document of a benchmark's scan, as BLISS publishes it: scan info, streams, file map.

The file map (``h5maps``) is what writers of the mapping kind need; a writer that lays the
file out itself finds acquisition chain, devices and channels. Both arrive at the same
paths: ``/<number>.1/instrument/<channel>/data`` and a link in ``measurement``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from values import ChannelLoad

from tango_saver.demo.publisher import new_ulid

_MASTER = "1:timer"
_COUNTERS = "2:counters"


@dataclass(frozen=True, slots=True)
class ScanLoad:
    """One scan of a load."""

    number: int
    path: Path
    """The data file."""
    n_points: int
    channels: tuple[ChannelLoad, ...]
    session: str
    keys: dict[str, str] = field(default_factory=lambda: {"scan": new_ulid(), "state": new_ulid()})
    """ULIDs: ``scan``, ``state`` and one for each channel's full name, made at need."""
    start_time: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def key(self) -> str:
        """Key of the scan in Redis."""
        return f"esrf:scan:{self.keys['scan']}"

    @property
    def state_stream(self) -> str:
        """Key of the stream of its states."""
        return f"esrf:stream:{self.keys['state']}"

    @property
    def entry(self) -> str:
        """Name of its entry in the file."""
        return f"{self.number}.1"

    def stream(self, channel: ChannelLoad) -> str:
        """Key of a channel's stream."""
        return f"esrf:stream:{self.keys.setdefault(channel.name, new_ulid())}"


def document(scan: ScanLoad, *, prepared: bool, closed: bool) -> dict[str, Any]:
    """What ``JSON.GET`` shows of the scan before it is prepared, from then on, at its end."""
    info = _info(scan)
    end = {"end_time": _now(), "end_reason": "SUCCESS"} if closed else {}
    info |= end
    info["h5maps"] = {str(scan.path): _file_map(scan, info, end)}
    streams = {channel.name: _stream_model(scan, channel) for channel in scan.channels}
    return {
        "pk": scan.keys["scan"],
        "id": {
            "pk": scan.keys["scan"],
            "name": "loopscan",
            "number": scan.number,
            "data_policy": "None",
            "session": scan.session,
            "proposal": None,
            "collection": None,
            "dataset": None,
            "path": str(scan.path),
        },
        "info": info,
        "state_stream": {"pk": scan.keys["state"], "encoding": None, "info": None},
        "data_streams": streams if prepared else {},
    }


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _stream_model(scan: ScanLoad, channel: ChannelLoad) -> dict[str, Any]:
    return {
        "pk": scan.stream(channel).rpartition(":")[2],
        "encoding": {
            "type": "numeric",
            "dtype_str": channel.dtype.str,
            "shape": list(channel.shape),
        },
        "info": {
            "dtype": channel.dtype.name,
            "shape": list(channel.shape),
            "plugin": "hdf5_fallback",
            "save": True,
            "file_path": str(scan.path),
            "data_path": f"{scan.entry}/instrument/{channel.short_name}/data",
        },
    }


def _info(scan: ScanLoad) -> dict[str, Any]:
    names = [channel.name for channel in scan.channels]
    scalars = [channel.name for channel in scan.channels if not channel.spectrum_length]
    spectra = [channel.name for channel in scan.channels if channel.spectrum_length]
    return {
        "name": f"{scan.number}_loopscan",
        "scan_nb": scan.number,
        "title": f"loopscan {scan.n_points} 0.01",
        "type": "loopscan",
        "save": True,
        "filename": str(scan.path),
        "images_path": str(scan.path.parent / f"scan{scan.number:04d}" / "{img_acq_device}_"),
        "session_name": scan.session,
        "user_name": "opid00",
        "data_writer": "nexus",
        "writer_options": {"chunk_options": {}, "separate_scan_files": None},
        "data_policy": "None",
        "publisher": "bliss",
        "publisher_version": "2.4.0",
        "npoints": scan.n_points,
        "count_time": 0.01,
        "start_time": scan.start_time,
        "devices": {
            _MASTER: {"name": "timer", "channels": [], "triggered_devices": [_COUNTERS]},
            _COUNTERS: {"name": "counters", "channels": names, "triggered_devices": []},
        },
        "channels": {
            channel.name: {
                "device": _COUNTERS,
                "display_name": channel.short_name,
                "dim": len(channel.shape),
            }
            for channel in scan.channels
        },
        "acquisition_chain": {
            "timer": {
                "top_master": _MASTER,
                "devices": [_MASTER, _COUNTERS],
                "master": {"scalars": [], "spectra": [], "images": []},
                "scalars": scalars,
                "spectra": spectra,
                "images": [],
            }
        },
        "positioners": {
            "positioners_start": {"robx": 0.5, "roby": 8.0},
            "positioners_dial_start": {"robx": 0.5, "roby": 8.0},
            "positioners_units": {"robx": "mm", "roby": "mm"},
        },
        "instrument": {"@NX_class": "NXinstrument"},
        "technique": {"@NX_class": "NXcollection"},
        "nexuswriter": {
            "instrument_info": {"name": "esrf-id00", "name@short_name": "id00"},
            "devices": {},
            "masterfiles": {},
        },
        "scan_meta_categories": ["positioners", "nexuswriter", "technique", "instrument"],
    }


def _group(nx_class: str, children: dict[str, Any]) -> dict[str, Any]:
    return {"type": "group", "attributes": {"NX_class": nx_class}, "children": children}


def _dataset(value: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": "dataset", "attributes": attributes, "value": value}


def _detector(channel: ChannelLoad) -> dict[str, Any]:
    attributes = {"interpretation": "spectrum"} if channel.spectrum_length else {}
    data = _dataset({"type": "stream", "stream": channel.name}, **attributes)
    return _group("NXdetector", {"data": data})


def _file_map(scan: ScanLoad, info: dict[str, Any], end: dict[str, str]) -> dict[str, Any]:
    detectors: Sequence[str] = [channel.short_name for channel in scan.channels]
    positions = {
        name: _dataset(position, units="mm")
        for name, position in info["positioners"]["positioners_start"].items()
    }
    instrument: dict[str, Any] = {
        channel.short_name: _detector(channel) for channel in scan.channels
    }
    instrument["name"] = _dataset("esrf-id00", short_name="id00")
    instrument["positioners"] = _group("NXcollection", positions)
    entry = {
        "title": _dataset(info["title"]),
        "start_time": _dataset(info["start_time"]),
        "instrument": _group("NXinstrument", instrument),
        "measurement": _group(
            "NXcollection",
            {
                name: {
                    "type": "soft_link",
                    "target_path": f"/{scan.entry}/instrument/{name}/data",
                }
                for name in detectors
            },
        ),
        "scan_parameters": _group("NXparameters", {"count_time": _dataset(0.01, units="s")}),
    } | {name: _dataset(value) for name, value in end.items()}
    return _group("NXroot", {scan.entry: _group("NXentry", entry)})
