"""Decoded values as JSON values, which is what a description holds."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

import numpy as np

from tango_saver.errors import DocumentError
from tango_saver.model.scan import Json
from tango_saver.source.bliss1.classes import Inert, Value

MOST_VALUES = 1_000_000
"""Of one field: a value that occurs in itself many times over is larger than its payload."""
_DEEPEST = 60
_LARGEST_NUMBER = 2**4096


class _Budget:
    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MOST_VALUES

    def spend(self, n_values: int) -> None:
        self.left -= n_values
        if self.left < 0:
            raise DocumentError(f"a field has more than {MOST_VALUES} values")


def plain(value: Value) -> Json:
    """The value as JSON has it.

    Tuples, sets and arrays become lists, keys texts, moments ISO 8601, bytes text, complex
    numbers and objects of unknown classes what Python shows for them.

    Raises:
        DocumentError: it has more than MOST_VALUES values, or is nested too deeply.
    """
    return _plain(value, _Budget(), 0)


def _plain(value: Value, budget: _Budget, depth: int) -> Json:
    if depth > _DEEPEST:
        raise DocumentError(f"a field is nested more than {_DEEPEST} times")
    budget.spend(1)
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else str(key): _plain(item, budget, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item, budget, depth + 1) for item in value]
    if isinstance(value, np.ndarray):
        budget.spend(value.size)
        return _plain(value.tolist(), budget, depth + 1)
    return _scalar(value.item() if isinstance(value, np.generic) else value)


def _scalar(value: Value) -> Json:
    if isinstance(value, int) and not -_LARGEST_NUMBER < value < _LARGEST_NUMBER:
        return math.inf if value > 0 else -math.inf
    match value:
        case None | bool() | int() | float() | str():
            plain_value: Json = value
        case dt.datetime() | dt.date() | dt.time():
            plain_value = value.isoformat()
        case dt.timedelta():
            plain_value = value.total_seconds()
        case bytes():
            plain_value = value.decode("utf-8", "replace")
        case Inert(name):
            plain_value = f"<{name}>"
        case _:
            plain_value = str(value)[:200]
    return plain_value
