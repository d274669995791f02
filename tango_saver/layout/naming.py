"""Names: which group and dataset below ``instrument`` a channel goes to.

The rules depend on the kind of device, which BLISS tells in ``nexuswriter.devices``.
All names that are made from a channel's name hold ``[a-zA-Z0-9_]`` only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where the points of a channel go, below ``instrument``."""

    group: str
    dataset: str
    principal: bool
    """What the group is about: measurement shows it under the group's name, and it gets a
    link ``data`` if it is not called so."""
    units: str = ""
    """Used when the channel itself has none."""


def clean(name: str) -> str:
    """The name with every run of characters outside ``[a-zA-Z0-9_]`` as one ``_``."""
    return re.sub(r"[^a-zA-Z0-9_]+", "_", name) or "_"


def link_name(name: str) -> str:
    """The name as BLISS has it, but for what HDF5 cannot have in one."""
    legal = name.replace("/", "_").replace("\0", "_")
    return "_" if legal in ("", ".", "..") else legal


def short_names(names: Iterable[str]) -> Mapping[str, str]:
    """Full name -> its shortest tail of ``:``-separated parts that no other name ends with."""
    parts = {name: tuple(name.split(":")) for name in names}
    longest = max(map(len, parts.values()), default=0)
    found: dict[str, str] = {}
    for length in range(1, longest + 1):
        tails = {name: split[-length:] for name, split in parts.items()}
        occurrences = Counter(tails.values())
        for name, tail in tails.items():
            if occurrences[tail] == 1:
                found.setdefault(name, ":".join(tail))
    return found


def place(name: str, short_name: str, device_type: str, data_type: str) -> Place:
    """Place of a detector's channel.

    Args:
        name: the channel's full name, ``simu1:spectrum_det0``.
        short_name: what ``short_names`` made of it.
        device_type: from ``nexuswriter.devices``, ``mca``; empty if unknown.
        data_type: from there too; tells the signal of a sampling counter from what was
            derived of it.
    """
    if device_type == "samplingcounter":
        return _sampling_counter(short_name, data_type)
    rule = _RULES.get(device_type)
    found = rule(name) if rule else None
    return found or Place(clean(short_name), "data", principal=True)


def _sampling_counter(short_name: str, data_type: str) -> Place:
    """``diode`` -> diode/signal; its ``diode_std`` -> diode/std."""
    if data_type == "signal":
        return Place(clean(short_name), "signal", principal=True)
    counter, _, derived = short_name.rpartition("_")
    if not counter or not derived:
        return Place(clean(short_name), "data", principal=True)
    return Place(clean(counter), clean(derived), principal=False)


_MCA_NAMES = {
    "icr": "trigger_count_rate",
    "ocr": "event_count_rate",
    "deadtime": "fractional_dead_time",
    "trigger_livetime": "trigger_live_time",
    "energy_livetime": "live_time",
    "realtime": "elapsed_time",
}
_MCA_UNITS = {
    "icr": "hertz",
    "ocr": "hertz",
    "trigger_livetime": "s",
    "energy_livetime": "s",
    "realtime": "s",
}


def _mca_place(group: str, quantity: str) -> Place:
    return Place(
        clean(group),
        _MCA_NAMES.get(quantity, clean(quantity)),
        principal=quantity == "spectrum",
        units=_MCA_UNITS.get(quantity, ""),
    )


def _mca(name: str) -> Place:
    """``simu1:icr_det0`` -> simu1_det0; without a detector it is a sum: ``simu1:roi1``."""
    device, _, quantity = name.rpartition(":")
    match = re.fullmatch(r"(.+)_(det\d+|sum)", quantity)
    if match:
        return _mca_place(f"{device}:{match[2]}", match[1])
    return _mca_place(f"{device}:sum", quantity)


def _mosca(name: str) -> Place | None:
    """``fx:spectrum:det01``, ``fx:stat:icr_det01``, ``fx:roi:r_sum_0_3``."""
    parts = name.split(":")
    if len(parts) < 3:  # noqa: PLR2004 - device, kind and name
        return None
    device, kind, last = ":".join(parts[:-2]), parts[-2], parts[-1]
    match = re.fullmatch(r"(?:(.+?)_)?(det\d+|sum(?:_.+)?)", last)
    if not match:
        return Place(clean(f"{device}:{kind}"), clean(last), principal=False)
    detector = re.sub(r"^det0*(?=\d)", "det", match[2])
    return _mca_place(f"{device}:{detector}", match[1] or kind)


def _lima(name: str) -> Place | None:
    """``cam:image``, ``cam:roi_counters:r1_sum``, ``cam:roi_profiles:p``, ``cam:bpm:x``."""
    device, *rest = name.split(":")
    if not rest:
        return None
    if len(rest) == 1:
        return Place(clean(device), clean(rest[0]), principal=rest[0] in ("image", "frame"))
    kind, last = rest[0], "_".join(rest[1:])
    if kind == "roi_counters":
        roi, _, statistic = last.rpartition("_")
        return Place(clean(f"{device}_{roi}" if roi else device), clean(statistic), principal=False)
    if kind == "roi_profiles":
        return Place(clean(f"{device}_{last}"), "data", principal=True)
    if kind == "roi_collection":
        return Place(clean(f"{device}_{kind}"), "data", principal=True)
    return Place(clean(f"{device}_{kind}"), clean(last), principal=False)


def _first_and_rest(name: str) -> Place | None:
    """``mythen1:spectrum`` -> mythen1/spectrum."""
    device, _, rest = name.partition(":")
    if not rest:
        return None
    return Place(clean(device), clean(rest), principal=rest == "spectrum")


_RULES: Mapping[str, Callable[[str], Place | None]] = {
    "mca": _mca,
    "mosca": _mosca,
    "lima": _lima,
    "lima2": _lima,
    "mythen": _first_and_rest,
    "autofilter": _first_and_rest,
}
