"""Values of Taurus attributes as plain Python ones."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """Text, number or list of such.

    Args:
        value: as Taurus has it: numbers with their unit, states as an enumeration, None for an
            empty list.
    """
    if value is None:
        return []
    value = getattr(value, "magnitude", value)
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name
    if isinstance(value, str | bool | int | float):
        return value
    python = getattr(value, "tolist", None)
    if python is not None:
        return python()
    return [plain(element) for element in value]
