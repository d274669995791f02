"""Values in the map of a file."""

from __future__ import annotations

import base64
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tango_saver.errors import LayoutError
from tango_saver.layout.h5map_values import decode_attribute, decode_value, stream_name

Json = Any


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        (1.5, 1.5),
        (True, True),
        ("text", "text"),
        ("nul\0inside", "nul\ufffdinside"),
        (["x", "yy"], ("x", "yy")),
        ([True, 1.5, "a", 2], ("True", "1.5", "a", "2")),
    ],
)
def test_a_raw_value_is_what_json_has(value: Json, expected: object) -> None:
    decoded = decode_value(value)
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([[1, 2], [3, 4]], "int64", [[1, 2], [3, 4]]),
        ([True, False], "bool", [True, False]),
        ([True, 2], "int64", [1, 2]),
        ([True, 2, 0.5], "float64", [1.0, 2.0, 0.5]),
        ([], "float64", []),
        ([[], []], "float64", [[], []]),
        ([0, 2**63], "uint64", [0, 2**63]),
        (2**63, "uint64", 2**63),
    ],
)
def test_mixed_lists_become_what_comes_last_of_bool_int_float(
    value: Json, dtype: str, expected: object
) -> None:
    decoded = decode_value(value)
    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == dtype
    assert decoded.tolist() == expected


def test_null_is_nan() -> None:
    assert math.isnan(decode_value(None))  # type: ignore[arg-type]
    np.testing.assert_array_equal(decode_value([1, None]), [1, np.nan])


def test_texts_keep_their_shape() -> None:
    decoded = decode_value([["a", "b"], ["c", "d"]])
    assert isinstance(decoded, np.ndarray)
    assert decoded.tolist() == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", ["nan", 1.5, "-inf", None], [np.nan, 1.5, -np.inf, np.nan]),
        ("float16", 1e9, np.inf),
        ("uint8", 200, 200),
        ("int8", [-128, 127], [-128, 127]),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("int16", 3.0, 3),
        ("complex64", ["(1+2j)", "(3 - 4j)", 5], [1 + 2j, 3 - 4j, 5]),
        ("bool", [True, 0], [True, False]),
    ],
)
def test_an_inline_value_has_the_dtype_that_it_says(
    dtype: str, value: Json, expected: object
) -> None:
    decoded = decode_value({"type": "inline", "dtype": dtype, "value": value})
    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, np.array(expected, dtype))


@given(
    arrays.arrays(
        st.sampled_from(["<i2", ">u4", "<f8", ">f4", "|u1", "<c16"]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_binary_values_come_back_as_they_were(values: np.ndarray[Any, Any]) -> None:
    item = {
        "type": "inline_b64",
        "dtype": values.dtype.str,
        "shape": list(values.shape),
        "value": base64.b64encode(values.tobytes()).decode(),
    }
    decoded = decode_value(item)
    assert isinstance(decoded, np.ndarray)
    assert (decoded.dtype, decoded.shape) == (values.dtype, values.shape)
    assert decoded.tobytes() == values.tobytes()


def test_columns_become_a_table_that_may_nest() -> None:
    inner = {"type": "compound", "columns": [["a", [1, 2]], ["b", ["x", "y"]]]}
    half = {"type": "inline", "dtype": "float32", "value": [0.5, 1.5]}
    table = decode_value({"type": "compound", "columns": [["inner", inner], ["half", half]]})
    assert isinstance(table, np.ndarray)
    assert table.dtype.names == ("inner", "half")
    assert table["half"].dtype == "float32"
    assert table.tolist() == [((1, "x"), 0.5), ((2, "y"), 1.5)]


def test_scalar_columns_become_a_scalar_table() -> None:
    table = decode_value({"type": "compound", "columns": [["n", 1], ["name", "bob"]]})
    assert isinstance(table, np.ndarray)
    assert table[()].tolist() == (1, "bob")


@pytest.mark.parametrize(
    "value",
    [
        [1, [2]],
        [[1], [2, 3]],
        ["a", None],
        [{}],
        {},
        {"type": "unknown"},
        {"type": "stream", "stream": "a"},
        2**64,
        [-1, 2**63],
        {"type": "inline", "dtype": "object", "value": 1},
        {"type": "inline", "dtype": ["i4"], "value": 1},
        {"type": "inline", "dtype": "uint8", "value": 256},
        {"type": "inline", "dtype": "int8", "value": 1.5},
        {"type": "inline", "dtype": "bool", "value": 2},
        {"type": "inline", "dtype": "float64", "value": "many"},
        {"type": "inline", "dtype": "float64", "value": {}},
        {"type": "inline", "dtype": "int64"},
        {"type": "inline_b64", "dtype": "<i2", "value": "A"},
        {"type": "inline_b64", "dtype": "<i2", "value": "AA=="},
        {"type": "inline_b64", "dtype": "O", "value": "AAAA"},
        {"type": "inline_b64", "dtype": "<i2", "shape": [3], "value": "AAAB"},
        {"type": "inline_b64", "dtype": "<i2", "shape": [2**40, 2**40], "value": "AAAB"},
        {"type": "inline_b64", "dtype": "<i2", "shape": [-1], "value": "AAAB"},
        {"type": "inline_b64", "dtype": "<i2", "value": 5},
        {"type": "compound"},
        {"type": "compound", "columns": []},
        {"type": "compound", "columns": [["a", 1], ["a", 2]]},
        {"type": "compound", "columns": [["a", [1]], ["b", [1, 2]]]},
        {"type": "compound", "columns": [["a", {"type": "stream", "stream": "s"}]]},
        {"type": "compound", "columns": [["", 1]]},
        {"type": "compound", "columns": [["a\0", 1]]},
        {"type": "compound", "columns": [["a"]]},
    ],
)
def test_what_cannot_be_decoded_is_refused_with_a_reason(value: Json) -> None:
    with pytest.raises(LayoutError) as caught:
        decode_value(value)
    assert caught.value.fact


def test_nesting_without_end_is_refused() -> None:
    deep: Json = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(LayoutError, match="too deep"):
        decode_value(deep)
    table: Json = 1
    for _ in range(500):
        table = {"type": "compound", "columns": [["a", table]]}
    with pytest.raises(LayoutError, match="too deep"):
        decode_value(table)


def test_an_attribute_that_hdf5_cannot_hold_is_refused() -> None:
    assert decode_attribute("x" * 100_000)
    with pytest.raises(LayoutError, match="too large"):
        decode_attribute([0.0] * 10_000)
    with pytest.raises(LayoutError, match="too large"):
        decode_attribute(["x"] * 5_000)
    with pytest.raises(LayoutError):
        decode_attribute({"type": "stream", "stream": "a"})


def test_a_stream_is_known_by_its_type_alone() -> None:
    assert stream_name({"type": "stream", "stream": "axis:robx"}) == "axis:robx"
    assert stream_name({"type": "inline"}) is None
    assert stream_name("stream") is None
    with pytest.raises(LayoutError, match="no name"):
        stream_name({"type": "stream"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "dtype", "value", "shape", "columns"]), inner)
        | st.fixed_dictionaries(
            {
                "type": st.sampled_from(["inline", "inline_b64", "compound", "stream"]),
                "dtype": st.sampled_from(["int8", "<i2", "complex64", "bool", "float128"]) | inner,
                "value": inner,
            },
            optional={"shape": inner, "columns": st.lists(st.tuples(st.text(max_size=2), inner))},
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_only_our_error_is_raised(value: Json) -> None:
    for decode in (decode_value, decode_attribute, stream_name):
        with suppress(LayoutError):
            decode(value)
