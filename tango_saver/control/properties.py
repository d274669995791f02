"""From the device properties to the settings of the saver, with every wrong value named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tango_saver.engine.checks import check_settings
from tango_saver.errors import ConfigurationError
from tango_saver.model.settings import SaverSettings

_HIGHEST_PORT = 65535
_PROPERTY_OF_SETTING = {
    "publisher_timeout_s": "publisher_timeout",
    "redis_timeout_s": "redis_timeout",
    "flush_period_s": "flush_period",
    "trim_age_s": "trim_age",
    "trim_memory_percent": "trim_memory",
    "disk_warning_gb": "disk_warning",
    "disk_minimum_gb": "disk_minimum",
}
"""The others have the same name."""


class Properties(Protocol):
    """The device properties, as PyTango has converted them."""

    session: str
    redis_url: str
    beacon_host: str
    bliss: str
    layout: str
    keepshape: bool
    multivalue_positioners: bool
    data_writers: Sequence[str]
    allowed_roots: Sequence[str]
    fallback_roots: Sequence[str]
    workers: int
    publisher_timeout: float
    redis_timeout: float
    flush_period: float
    trim_age: float
    trim_memory: float
    disk_warning: float
    disk_minimum: float
    state_directory: str
    auto_start: bool
    finish_timeout: float


@dataclass(frozen=True, slots=True)
class DeviceConfiguration:
    """What the properties of one device say; checked, but nothing was asked from anybody."""

    settings: SaverSettings
    beacon_host: str
    """``host:port`` of the Beacon that knows the URL of Redis; empty if ``settings`` has it."""
    auto_start: bool
    finish_timeout_s: float
    """Time that running scans get to finish when the server ends."""


def configuration_from(properties: Properties) -> DeviceConfiguration:
    """Translate the properties of a device and check them.

    Raises:
        ConfigurationError: a value cannot be used; names the property and the cure.
    """
    beacon_host = properties.beacon_host.strip()
    if beacon_host and not _is_host_and_port(beacon_host):
        raise ConfigurationError(
            f"Property beacon_host is {beacon_host!r}",
            advice="Write it as host:port, as in BEACON_HOST, and run Init",
        )
    if not (math.isfinite(properties.finish_timeout) and properties.finish_timeout >= 0):
        raise ConfigurationError(
            f"Property finish_timeout is {properties.finish_timeout}",
            advice="Give the seconds as a number of at least 0 and run Init",
        )
    settings = _settings_from(properties)
    # what Beacon will answer is checked then
    _check(replace(settings, redis_url=f"redis://{beacon_host}") if beacon_host else settings)
    return DeviceConfiguration(
        settings=replace(settings, redis_url="") if beacon_host else settings,
        beacon_host=beacon_host,
        auto_start=properties.auto_start,
        finish_timeout_s=properties.finish_timeout,
    )


def _settings_from(properties: Properties) -> SaverSettings:
    return SaverSettings(
        session=properties.session.strip(),
        redis_url=properties.redis_url.strip(),
        bliss=properties.bliss.strip(),
        layout=properties.layout.strip(),
        keepshape=properties.keepshape,
        multivalue_positioners=properties.multivalue_positioners,
        data_writers=_lines(properties.data_writers),
        allowed_roots=_lines(properties.allowed_roots),
        fallback_roots=_lines(properties.fallback_roots),
        workers=properties.workers,
        publisher_timeout_s=properties.publisher_timeout,
        redis_timeout_s=properties.redis_timeout,
        flush_period_s=properties.flush_period,
        trim_age_s=properties.trim_age,
        trim_memory_percent=properties.trim_memory,
        disk_warning_gb=properties.disk_warning,
        disk_minimum_gb=properties.disk_minimum,
        state_directory=properties.state_directory.strip(),
    )


def _lines(values: Sequence[str]) -> tuple[str, ...]:
    """Without the blank lines that editors of properties leave."""
    return tuple(value.strip() for value in values if value.strip())


def _check(settings: SaverSettings) -> None:
    try:
        check_settings(settings)
    except ConfigurationError as error:
        setting, _, fact = error.fact.partition(" ")
        name = _PROPERTY_OF_SETTING.get(setting, setting)
        raise ConfigurationError(
            f"Property {name} {fact}", advice=f"{error.advice}. Then run Init"
        ) from error


def _is_host_and_port(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT
