"""Values in a map of a file: JSON that says its own data type, or leaves it to its form.

A *raw* value is plain JSON: whole numbers become 64-bit integers, others 64-bit floats,
texts variable-length UTF-8; in a mixed list all become what comes last in the order bool,
int, float, text. ``inline`` and ``inline_b64`` state their dtype, ``compound`` is columns.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tango_saver.errors import LayoutError
from tango_saver.layout.metadata import (
    DEEPEST_ARRAY,
    INT64,
    LARGEST_ATTRIBUTE,
    TEXT_REFERENCE,
    UINT64,
    text,
)
from tango_saver.model.plan import StaticValue
from tango_saver.model.scan import Json

VALUE_TYPES = ("inline", "inline_b64", "compound", "stream")
"""Values that are JSON objects; all others are raw."""

_NAMED_DTYPE = re.compile(r"bool|u?int(?:8|16|32|64)|float(?:16|32|64|128)|complex(?:64|128|256)")
_BINARY_DTYPE = re.compile(r"\|?[iub]1|[<>](?:[iuf][248]|[fc](?:8|16)|c32)")
_DEEPEST_COMPOUND = 16
_LARGEST_SIZE = 2**62


def shown(value: Json) -> str:
    """A value as it appears in a sentence: short."""
    return repr(value)[:40]


def decode_value(value: Json) -> StaticValue:
    """A value that is no stream.

    Raises:
        LayoutError: it is malformed; the fact says how.
    """
    try:
        return _decoded(value, 0)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise LayoutError(f"its value cannot be decoded: {str(error)[:200]}") from error


def decode_attribute(value: Json) -> StaticValue:
    """The value of an attribute.

    Raises:
        LayoutError: it is malformed, a stream, or larger than HDF5 lets an attribute be.
    """
    decoded = decode_value(value)
    size = 0
    if isinstance(decoded, tuple):
        size = len(decoded) * TEXT_REFERENCE
    elif isinstance(decoded, np.ndarray):
        # A text is a pointer here, and a reference of twice its size in the file.
        size = decoded.nbytes * (2 if decoded.dtype.hasobject else 1)
    if size > LARGEST_ATTRIBUTE:
        raise LayoutError(f"its value of {size} bytes is too large for an attribute")
    return decoded


def stream_name(value: Json) -> str | None:
    """Name of the channel that a value stands for; None if it is no stream.

    Raises:
        LayoutError: it is a stream without a name.
    """
    if not isinstance(value, Mapping) or value.get("type") != "stream":
        return None
    name = value.get("stream")
    if not isinstance(name, str):
        raise LayoutError("its stream has no name")
    return name


def binary_dtype(name: Json) -> np.dtype[Any]:
    """A dtype with its byte order, ``<u2``.

    Raises:
        LayoutError: it is none.
    """
    if not isinstance(name, str) or not _BINARY_DTYPE.fullmatch(name):
        raise LayoutError(f"its dtype {shown(name)} is not a plain number with a byte order")
    return _dtype(name)


def array_shape(value: Json) -> tuple[int, ...]:
    """The shape of a dataset.

    Raises:
        LayoutError: it is none, or larger than any array can be.
    """
    shape = sizes(value, "shape")
    if math.prod(max(size, 1) for size in shape) > _LARGEST_SIZE:
        raise LayoutError("its shape is larger than any array")
    return shape


def sizes(value: Json, name: str) -> tuple[int, ...]:
    """A list of at most 32 numbers, none of them negative.

    Raises:
        LayoutError: it is none.
    """
    if (
        not isinstance(value, list)
        or len(value) > DEEPEST_ARRAY
        or not all(is_size(size) for size in value)
    ):
        raise LayoutError(f"its {name} is not a list of sizes")
    return tuple(value)


def is_size(value: Json) -> bool:
    """Whether it is a whole number of bytes or elements."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SIZE


def _decoded(value: Json, depth: int) -> StaticValue:
    if not isinstance(value, Mapping):
        return _raw(value)
    match value.get("type"):
        case "inline":
            return _inline(value.get("dtype"), value.get("value"))
        case "inline_b64":
            return _binary(value.get("dtype"), value.get("shape"), value.get("value"))
        case "compound":
            return _compound(value.get("columns"), depth)
        case "stream":
            raise ValueError("a stream can only be the value of a dataset")
        case kind:
            raise ValueError(f"its type {shown(kind)} is unknown")


def _flat(value: Json) -> tuple[list[Json], tuple[int, ...]]:
    """The leaves of nested lists, and the shape; ValueError if they are no array."""
    leaves: list[Json] = [value]
    shape: tuple[int, ...] = ()
    while leaves and all(isinstance(leaf, list) for leaf in leaves):
        lengths = {len(leaf) for leaf in leaves}
        if len(lengths) > 1:
            raise ValueError("its lists have different lengths")
        shape = (*shape, lengths.pop())
        if len(shape) > DEEPEST_ARRAY:
            raise ValueError("its lists are nested too deep")
        leaves = [item for leaf in leaves for item in leaf]
    if any(isinstance(leaf, list | Mapping) for leaf in leaves):
        raise ValueError("it is neither a value nor an array")
    return leaves, shape


def _raw(value: Json) -> StaticValue:
    leaves, shape = _flat(value)
    if any(isinstance(leaf, str) for leaf in leaves):
        if None in leaves:
            raise ValueError("null stands among texts")
        texts = [text(str(leaf)) for leaf in leaves]
        if not shape:
            return texts[0]
        return tuple(texts) if len(shape) == 1 else _texts(texts, shape)
    dtype = _common_dtype(leaves)
    # null is how NaN and the infinities are published that JSON cannot name
    numbers = np.array([math.nan if leaf is None else leaf for leaf in leaves], dtype)
    if shape or dtype == np.uint64:
        return numbers.reshape(shape)
    plain: StaticValue = numbers[0].item()
    return plain


def _common_dtype(leaves: Sequence[Json]) -> npt.DTypeLike:
    if not leaves or any(leaf is None or isinstance(leaf, float) for leaf in leaves):
        return np.float64
    if all(isinstance(leaf, bool) for leaf in leaves):
        return np.bool_
    if all(leaf in INT64 for leaf in leaves):
        return np.int64
    if all(leaf in UINT64 for leaf in leaves):
        return np.uint64
    raise ValueError("a number needs more than 64 bits")


def _texts(texts: Sequence[str], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(shape)


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError as error:
        raise LayoutError(f"its dtype {name} does not exist on this computer") from error


def _inline(name: Json, value: Json) -> npt.NDArray[Any]:
    if not isinstance(name, str) or not _NAMED_DTYPE.fullmatch(name):
        raise ValueError(f"its dtype {shown(name)} is not a plain number")
    dtype = _dtype(name)
    leaves, shape = _flat(value)
    with np.errstate(over="ignore"):  # beyond the range of a float lies infinity
        return np.array([_number(leaf, dtype) for leaf in leaves], dtype).reshape(shape)


def _number(leaf: Json, dtype: np.dtype[Any]) -> complex:
    """One value of an inline array: texts stand for what JSON has no number for."""
    if dtype.kind == "c":
        return complex(leaf.replace(" ", "") if isinstance(leaf, str) else _real(leaf))
    if dtype.kind == "f":
        return _real(leaf)
    number = int(leaf)
    if not isinstance(leaf, str) and number != leaf:
        raise ValueError(f"{shown(leaf)} is no whole number")
    if dtype.kind == "b":
        if number not in (0, 1):
            raise ValueError(f"{shown(leaf)} is neither true nor false")
        return number
    limits = np.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        raise ValueError(f"{shown(leaf)} is no {dtype}")
    return number


def _real(leaf: Json) -> float:
    return math.nan if leaf is None else float(leaf)


def _binary(name: Json, shape: Json, value: Json) -> npt.NDArray[Any]:
    dtype = binary_dtype(name)
    if not isinstance(value, str):
        raise TypeError("its value is not a text in base64")
    data = base64.b64decode("".join(value.split()), validate=True)
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are no whole number of {dtype}")
    array = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    return array if shape is None else array.reshape(array_shape(shape))


def _compound(columns: Json, depth: int) -> npt.NDArray[Any]:
    """The columns as one structured array; texts in it are objects."""
    if depth >= _DEEPEST_COMPOUND:
        raise ValueError("its columns are nested too deep")
    decoded = dict(_columns(columns, depth))
    if not decoded or len(decoded) != len(columns):
        raise ValueError("its columns are none, or two have the same name")
    if len({column.shape for column in decoded.values()}) > 1:
        raise ValueError("its columns have different shapes")
    dtype = np.dtype([(name, column.dtype) for name, column in decoded.items()])
    table = np.empty(next(iter(decoded.values())).shape, dtype)
    for name, column in decoded.items():
        table[name] = column
    return table


def _columns(columns: Json, depth: int) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    if not isinstance(columns, list):
        raise TypeError("its columns are not a list")
    for column in columns:
        if not isinstance(column, list | tuple) or len(column) != 2:  # noqa: PLR2004 - a pair
            raise ValueError("a column is not a name and a value")
        name, value = column
        if not isinstance(name, str) or not name or text(name) != name:
            raise ValueError(f"a column has no usable name: {shown(name)}")
        yield name, _as_array(_decoded(value, depth + 1))


def _as_array(value: StaticValue) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str):
        return _texts([value], ())
    if isinstance(value, tuple):
        return _texts(value, (len(value),))
    return np.array(value)
