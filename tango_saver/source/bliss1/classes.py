"""The classes that BLISS 1 pickled, each as a function that builds the value.

The functions are ours and check what they are given; none calls, imports or allocates what a
payload asks for. An array is never larger than the bytes that it brings.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from tango_saver.errors import SourceError

Value: TypeAlias = Any
"""None, bool, numbers, str, bytes, list, tuple, dict, set, frozenset, dates, numpy arrays,
scalars and dtypes, and Inert."""

_DTYPE = re.compile(r"[<>|=]?(?:[biufcSU]\d{1,4}|\?|[bBhHiIlLqQefdgFDG])")
_ARRAY_KINDS = "biufcSU"
_MOST_DIMENSIONS = 32
_LONGEST_NAME = 200


class DecodingError(SourceError):
    """A payload is no pickle of plain values, or is damaged."""


@dataclass(frozen=True, slots=True)
class Inert:
    """Stands for an object of a class that is not on the allow-list."""

    name: str
    """``module.class``."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class that a payload names; nothing but its name."""

    name: str

    @classmethod
    def named(cls, module: str, name: str) -> Class:
        """The class of that module, by its name of today."""
        return cls(f"{'builtins' if module == '__builtin__' else module}.{name}"[:_LONGEST_NAME])


class Unfinished:
    """An array between its making and the setting of its state."""

    __slots__ = ()


_STATES = ("IDLE", "PREPARING", "STARTING", "STOPPING", "DONE", "USER_ABORTED", "KILLED")
"""Of a scan, as BLISS 1.8 numbers them."""

_DTYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "builtins.float": "f8",
        "builtins.int": "i8",
        "builtins.bool": "?",
        "builtins.complex": "c16",
        **{
            f"numpy.{name}": name
            for name in (
                "float16", "float32", "float64", "longdouble", "int8", "int16", "int32", "int64",
                "uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "intc", "uintc",
                "longlong", "ulonglong", "byte", "ubyte", "short", "ushort",
            )
        },
        "numpy.bool": "?",
        "numpy.bool_": "?",
        "numpy.float128": "longdouble",
    }
)  # fmt: skip


def dtype_of(value: Value) -> np.dtype[Any] | None:
    """The dtype that a published dtype or class means; None if it is not that of a number."""
    if isinstance(value, np.dtype):
        return value
    name = _DTYPE_NAMES.get(value.name) if isinstance(value, Inert) else None
    return None if name is None else np.dtype(name)


def is_text_class(value: Value) -> bool:
    """Whether a published dtype means text."""
    if isinstance(value, np.dtype):
        return value.kind in "SU"
    return isinstance(value, Inert) and value.name in ("builtins.str", "numpy.str_", "numpy.str")


def _make_dtype(arguments: tuple[Value, ...]) -> Value:
    code = arguments[0]
    if isinstance(code, Inert):
        found = dtype_of(code)
        return code if found is None else found
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        return Inert("numpy.dtype")
    return np.dtype(code)


def with_byte_order(dtype: np.dtype[Any], state: Value) -> np.dtype[Any]:
    """The dtype after ``__setstate__``, of which only the byte order counts."""
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if order == ">":
        return dtype.newbyteorder(">")
    return dtype.newbyteorder("<") if order == "<" else dtype


def _make_scalar(arguments: tuple[Value, ...]) -> Value:
    dtype, raw = arguments
    if not isinstance(dtype, np.dtype) or not isinstance(raw, bytes):
        return Inert("numpy scalar")
    return np.frombuffer(raw, dtype, 1)[0]


def _make_array(shape: Value, dtype: Value, raw: Value, *, fortran: bool) -> Value:
    """An array, or an Inert if its values are no plain numbers or texts."""
    if (
        not isinstance(dtype, np.dtype)
        or dtype.kind not in _ARRAY_KINDS
        or not isinstance(raw, bytes | bytearray | memoryview)
    ):
        return Inert("numpy.ndarray")
    sizes = _shape(shape)
    if math.prod(sizes) * dtype.itemsize != len(raw):
        raise DecodingError("an array is not as large as its shape says")
    flat = np.frombuffer(raw, dtype)
    return flat.reshape(sizes, order="F" if fortran else "C")


def _shape(value: Value) -> tuple[int, ...]:
    sizes = (value,) if type(value) is int else value
    if (
        not isinstance(sizes, tuple)
        or len(sizes) > _MOST_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 2**48 for size in sizes)
    ):
        raise DecodingError("the shape of an array is no tuple of sizes")
    return sizes


def array_from_state(state: Value) -> Value:
    """The array that ``__setstate__`` would make."""
    _, shape, dtype, fortran, raw = state
    if isinstance(raw, list):
        return _object_array(shape, raw)
    return _make_array(shape, dtype, raw, fortran=fortran is True)


def _object_array(shape: Value, values: list[Value]) -> Value:
    """Objects in an array are what a list of them is."""
    if math.prod(_shape(shape)) != len(values):
        raise DecodingError("an array is not as large as its shape says")
    return values


def _from_buffer(arguments: tuple[Value, ...]) -> Value:
    raw, dtype, shape, order = arguments
    return _make_array(shape, dtype, raw, fortran=order == "F")


def _encode(arguments: tuple[Value, ...]) -> Value:
    """How protocol 2 writes bytes."""
    text, codec = arguments
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise DecodingError("bytes are written in an unknown way")
    return text.encode("latin-1")


def _whole(values: tuple[Value, ...]) -> tuple[int, ...]:
    if not all(type(value) is int and abs(value) < 2**40 for value in values):
        raise DecodingError("a moment has parts that are no numbers")
    return values


def _make_datetime(arguments: tuple[Value, ...]) -> Value:
    """Naive as published, unless a zone follows."""
    first = arguments[0]
    if isinstance(first, str):
        first = first.encode("latin-1")
    if isinstance(first, bytes):
        zone = arguments[1] if len(arguments) > 1 else None
        year, month = int.from_bytes(first[:2]), first[2] & 0x7F
        # The highest bit of the month says which of two equal hours it is.
        day, hour, minute, second = first[3:7]
        moment = dt.datetime(  # noqa: DTZ001 - naive as published
            year, month, day, hour, minute, second, int.from_bytes(first[7:])
        )
        return moment.replace(tzinfo=zone) if isinstance(zone, dt.tzinfo) else moment
    year, month, day, *rest = _whole(arguments)
    return dt.datetime(year, month, day, *_padded(rest))  # noqa: DTZ001 - naive as published


def _padded(parts: list[int]) -> tuple[int, int, int, int]:
    """Hour, minute, second and microsecond, as many as there are."""
    hour, minute, second, microsecond = (*parts, 0, 0, 0, 0)[:4]
    return hour, minute, second, microsecond


def _make_date(arguments: tuple[Value, ...]) -> Value:
    first = arguments[0]
    if isinstance(first, bytes):
        return dt.date(int.from_bytes(first[:2]), first[2], first[3])
    year, month, day = _whole(arguments)
    return dt.date(year, month, day)


def _make_time(arguments: tuple[Value, ...]) -> Value:
    first = arguments[0]
    if isinstance(first, bytes):
        return dt.time(first[0] & 0x7F, first[1], first[2], int.from_bytes(first[3:6]))
    return dt.time(*_padded(list(_whole(arguments))))


def _make_timedelta(arguments: tuple[Value, ...]) -> Value:
    return dt.timedelta(*_whole(arguments))


def _make_timezone(arguments: tuple[Value, ...]) -> Value:
    offset = arguments[0]
    if not isinstance(offset, dt.timedelta):
        raise DecodingError("a zone has no offset")
    return dt.timezone(offset)


def _make_state(arguments: tuple[Value, ...]) -> Value:
    number = arguments[0]
    if type(number) is int and 0 <= number < len(_STATES):
        return _STATES[number]
    return Inert("bliss.scanning.scan.ScanState")


def _make_complex(arguments: tuple[Value, ...]) -> Value:
    if not all(isinstance(part, int | float) for part in arguments):
        raise DecodingError("a complex number has parts that are no numbers")
    return complex(*arguments)


def _make_items(arguments: tuple[Value, ...]) -> Value:
    """A collection from its items; as a list, for what its items are."""
    items = arguments[0] if arguments else ()
    return list(items) if isinstance(items, list | tuple | set | frozenset) else []


def _make_mapping(arguments: tuple[Value, ...]) -> Value:
    pairs = arguments[0] if arguments else ()
    if isinstance(pairs, dict):
        return dict(pairs)
    found: dict[Value, Value] = {}
    for pair in pairs if isinstance(pairs, list | tuple) else ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:  # noqa: PLR2004 - key and value
            raise DecodingError("a mapping has items that are no pairs")
        found[hashable(pair[0])] = pair[1]
    return found


def _make_bytes(arguments: tuple[Value, ...]) -> Value:
    """Bytes or bytearray; never of a length that only a number claims."""
    first = arguments[0] if arguments else b""
    if isinstance(first, str):
        return first.encode("latin-1")
    if isinstance(first, bytes):
        return first
    if isinstance(first, list) and all(type(byte) is int and 0 <= byte < 256 for byte in first):  # noqa: PLR2004 - a byte
        return bytes(first)
    raise DecodingError("bytes are written in an unknown way")


_ALLOWED: Mapping[str, Callable[[tuple[Value, ...]], Value]] = MappingProxyType(
    {
        "numpy.dtype": _make_dtype,
        "numpy.core.multiarray.scalar": _make_scalar,
        "numpy._core.multiarray.scalar": _make_scalar,
        "numpy.core.multiarray._reconstruct": lambda _: Unfinished(),
        "numpy._core.multiarray._reconstruct": lambda _: Unfinished(),
        "numpy.core.numeric._frombuffer": _from_buffer,
        "numpy._core.numeric._frombuffer": _from_buffer,
        "_codecs.encode": _encode,
        "datetime.datetime": _make_datetime,
        "datetime.date": _make_date,
        "datetime.time": _make_time,
        "datetime.timedelta": _make_timedelta,
        "datetime.timezone": _make_timezone,
        "bliss.scanning.scan.ScanState": _make_state,
        "bliss.scanning.scan_state.ScanState": _make_state,
        "builtins.complex": _make_complex,
        "builtins.set": _make_items,
        "builtins.frozenset": _make_items,
        "builtins.list": _make_items,
        "builtins.bytes": _make_bytes,
        "builtins.bytearray": _make_bytes,
        "collections.OrderedDict": _make_mapping,
    }
)


def call(function: Value, arguments: Value) -> Value:
    """What becomes of a class that is called.

    Raises:
        DecodingError: the function is no class, or the arguments do not fit.
    """
    if not isinstance(function, Class):
        raise DecodingError("what is called is no class")
    if not isinstance(arguments, tuple):
        raise DecodingError("arguments are no tuple")
    make = _ALLOWED.get(function.name)
    return Inert(function.name) if make is None else make(arguments)


def hashable(value: Value) -> Value:
    """A key of a mapping, if it is a plain one: nested tuples could be as deep as the payload."""
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    if isinstance(value, np.generic) and value.ndim == 0:
        return value.item()
    if isinstance(value, tuple) and all(isinstance(part, str | int | float) for part in value):
        return value
    raise DecodingError("a mapping has a key that is neither a text nor a number")
