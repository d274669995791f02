"""Values of Taurus as plain ones; what Taurus hands over is made here with what it uses itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pytest

from tango_saver.gui.values import plain


class _State(IntEnum):
    """As Taurus has the states of Tango."""

    RUNNING = 10


@dataclass(frozen=True)
class _Quantity:
    """A number with its unit."""

    magnitude: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (_State.RUNNING, "RUNNING"),
        (_Quantity(12.5), 12.5),
        (_Quantity(np.array([1.0, 2.0])), [1.0, 2.0]),
        (np.int64(3), 3),
        ("text", "text"),
        (("a", "b"), ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ((), []),
        (None, []),
        (True, True),
    ],
)
def test_a_value_becomes_text_number_or_list(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(plain(_Quantity(float("nan"))))
