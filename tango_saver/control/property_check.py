"""Properties that are to be registered, held against those that the devices have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Any, cast

from tango.utils import seqStr_2_obj

from tango_saver.control.device import TangoSaver
from tango_saver.control.properties import (
    Properties,
    configuration_from,
    side_configuration_from,
)
from tango_saver.errors import ConfigurationError

_TAKEN_AWAY = [""]


def check_properties(given: Mapping[str, Sequence[str]]) -> None:
    """Find out before a device does whether it can work with these properties.

    Args:
        given: values by name, as a Tango database has them; one empty value takes a property away.

    Raises:
        ConfigurationError: there is no such property, or its value cannot be used.
    """
    told: Mapping[str, Sequence[Any]] = TangoSaver.TangoClassClass.device_property_list
    values = {name: default for name, (_, _, default, *_) in told.items()}
    for name, texts in given.items():
        if name not in told:
            near = get_close_matches(name, told, n=3, cutoff=0.4) or sorted(told)
            raise ConfigurationError(
                f"the devices have no property {name!r}",
                advice=f"Is it one of these: {', '.join(near)}?",
            )
        if list(texts) != _TAKEN_AWAY:
            values[name] = _converted(name, texts, told[name][0])
    properties = cast("Properties", SimpleNamespace(**values))
    configuration_from(properties)
    side_configuration_from(properties, "")


def _converted(name: str, texts: Sequence[str], kind: object) -> object:
    try:
        return seqStr_2_obj(list(texts), kind)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"Property {name} is {', '.join(texts)!r}: {error}", advice="Give a value of its type"
        ) from error
