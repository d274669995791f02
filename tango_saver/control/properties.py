"""From the device properties to the settings of the saver, with every wrong value named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tango_saver.control.log_files import LogPlace
from tango_saver.control.side_work import SideConfiguration
from tango_saver.engine.checks import check_settings
from tango_saver.errors import ConfigurationError
from tango_saver.model.settings import SaverSettings

_HIGHEST_PORT = 65535
_SMALLEST_LOG_MB = 0.01
_FEWEST_LOGS = 2
"""With a single one nothing would be left at the moment of its exchange."""
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
    edf_pixels: bool
    checksums: bool
    data_writers: Sequence[str]
    allowed_roots: Sequence[str]
    fallback_roots: Sequence[str]
    shared_session: bool
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
    metrics_port: int
    log_directory: str
    log_file_size: float
    log_files: int


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


def side_configuration_from(properties: Properties, log_name: str) -> SideConfiguration:
    """What a device wishes beside saving, checked.

    Args:
        properties: of the device.
        log_name: name of the log file in its folder.

    Raises:
        ConfigurationError: a value cannot be used; names the property and the cure.
    """
    if not 0 <= properties.metrics_port <= _HIGHEST_PORT:
        raise ConfigurationError(
            f"Property metrics_port is {properties.metrics_port}",
            advice=f"Give a port of at most {_HIGHEST_PORT}, or 0 for none, and run Init",
        )
    return SideConfiguration(properties.metrics_port, _log_place(properties, log_name))


def _log_place(properties: Properties, log_name: str) -> LogPlace | None:
    directory = properties.log_directory.strip()
    if not directory:
        return None
    if not Path(directory).is_absolute():
        raise ConfigurationError(
            f"Property log_directory is {directory!r}",
            advice="Give an absolute path, or leave it empty for no files, and run Init",
        )
    if not _SMALLEST_LOG_MB <= properties.log_file_size < math.inf:
        raise ConfigurationError(
            f"Property log_file_size is {properties.log_file_size:g}",
            advice=f"Give at least {_SMALLEST_LOG_MB:g} MB and run Init",
        )
    if properties.log_files < _FEWEST_LOGS:
        raise ConfigurationError(
            f"Property log_files is {properties.log_files}",
            advice=f"Give at least {_FEWEST_LOGS} files and run Init",
        )
    return LogPlace(Path(directory) / log_name, properties.log_file_size, properties.log_files)


def _settings_from(properties: Properties) -> SaverSettings:
    return SaverSettings(
        session=properties.session.strip(),
        redis_url=properties.redis_url.strip(),
        bliss=properties.bliss.strip(),
        layout=properties.layout.strip(),
        keepshape=properties.keepshape,
        multivalue_positioners=properties.multivalue_positioners,
        edf_pixels=properties.edf_pixels,
        checksums=properties.checksums,
        data_writers=_lines(properties.data_writers),
        allowed_roots=_lines(properties.allowed_roots),
        fallback_roots=_lines(properties.fallback_roots),
        shared_session=properties.shared_session,
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
