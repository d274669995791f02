"""Settings that cannot be used, refused before anything is started."""

from __future__ import annotations

import math
from pathlib import Path
from urllib.parse import urlsplit

from tango_saver.errors import ConfigurationError
from tango_saver.layout import LAYOUTS
from tango_saver.model.settings import SaverSettings
from tango_saver.source.generation import GENERATIONS

_SCHEMES = ("redis", "rediss", "unix")
_MOST_WORKERS = 256


def check_settings(settings: SaverSettings) -> None:
    """Check every setting by itself; touches neither network nor disk.

    Raises:
        ConfigurationError: its fact begins with the name of the setting.
    """
    if not settings.session.strip():
        raise ConfigurationError(
            "session is empty", advice="Give the name of the BLISS session, or * for all"
        )
    scheme = urlsplit(settings.redis_url).scheme
    if scheme not in _SCHEMES:
        raise ConfigurationError(
            f"redis_url {settings.redis_url!r} is not a Redis URL",
            advice="Write it as redis://host:port",
        )
    if settings.bliss not in GENERATIONS:
        raise ConfigurationError(
            f"bliss {settings.bliss!r} is no generation of BLISS",
            advice=f"Choose one of {', '.join(GENERATIONS)}",
        )
    if settings.layout not in LAYOUTS:
        raise ConfigurationError(
            f"layout {settings.layout!r} is unknown", advice=f"Choose one of {', '.join(LAYOUTS)}"
        )
    if not settings.data_writers:
        raise ConfigurationError(
            "data_writers is empty, no scan would be saved",
            advice="Name at least one value of SCAN_SAVING.writer, such as external",
        )
    for name, roots in (
        ("allowed_roots", settings.allowed_roots),
        ("fallback_roots", settings.fallback_roots),
    ):
        for root in roots:
            if not Path(root).is_absolute():
                raise ConfigurationError(
                    f"{name} has {root!r}, which is not absolute",
                    advice="Give absolute folders, or none",
                )
    _check_numbers(settings)


def _check_numbers(settings: SaverSettings) -> None:
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("workers", settings.workers, 1, _MOST_WORKERS),
        ("publisher_timeout_s", settings.publisher_timeout_s, 0, math.inf),
        ("redis_timeout_s", settings.redis_timeout_s, 0.1, 3600),
        ("flush_period_s", settings.flush_period_s, 0.01, 3600),
        ("file_idle_s", settings.file_idle_s, 0, math.inf),
        ("trim_age_s", settings.trim_age_s, 0, math.inf),
        ("trim_memory_percent", settings.trim_memory_percent, 0, 100),
        ("disk_warning_gb", settings.disk_warning_gb, 0, math.inf),
        ("disk_minimum_gb", settings.disk_minimum_gb, 0, math.inf),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise ConfigurationError(
                f"{name} is {value}", advice=f"It must lie between {least:g} and {most:g}"
            )
