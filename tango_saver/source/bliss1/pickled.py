"""What BLISS 1 pickled, read without unpickling.

Nothing is imported, no function of a payload's choice is called, no attribute set. A machine
of our own knows the opcodes of plain values and containers; of the classes it knows those on
the allow-list of ``classes``. Any other class becomes an ``Inert`` that keeps nothing but its
name. Memory stays proportional to the payload: there are no loops in a pickle, places in the
memo are kept in a mapping, and an array is never larger than the bytes that it brings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from tango_saver.source.bliss1.classes import (
    Class,
    DecodingError,
    Inert,
    Unfinished,
    Value,
    array_from_state,
    call,
    hashable,
    with_byte_order,
)

LARGEST_PAYLOAD = 2**29
"""Bytes; Redis keeps no larger value."""
_MOST_OPERATIONS = 4_000_000
"""Of one payload."""
_LONGEST_LINE = 4000
"""Bytes of what is written as text: the name of a class."""


class _Mark:
    __slots__ = ()


_MARK = _Mark()


def decode(payload: bytes) -> Value:
    """The value of a pickle.

    Raises:
        DecodingError: the payload is none, is damaged, or holds what no publisher sends.
    """
    if len(payload) > LARGEST_PAYLOAD:
        raise DecodingError(f"a payload of {len(payload)} bytes is too large")
    try:
        return _Machine(payload).run()
    except DecodingError:
        raise
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
        MemoryError,
    ) as error:
        raise DecodingError(f"a payload is damaged ({type(error).__name__})") from error


def _settled(value: Value) -> Value:
    """Classes, and arrays that were left unfinished, are inert once they are values."""
    if isinstance(value, Class):
        return Inert(value.name)
    return Inert("numpy.ndarray") if isinstance(value, Unfinished | _Mark) else value


class _Machine:
    """Reads one pickle; of its stack and memo nothing survives."""

    def __init__(self, payload: bytes) -> None:
        self._raw = payload
        self._at = 0
        self.stack: list[Value] = []
        self.memo: dict[int, Value] = {}
        self._places: dict[int, int] = {}
        """Identity of an object whose state may be set -> its place in the memo."""

    def run(self) -> Value:
        operations, raw = _OPERATIONS, self._raw
        if raw[:1] != b"\x80":
            raise DecodingError("a payload is no pickle of protocol 2 or above")
        for _ in range(min(len(raw), _MOST_OPERATIONS)):
            code = raw[self._at]
            self._at += 1
            if code == _STOP:
                return _settled(self._pop())
            operation = operations.get(code)
            if operation is None:
                raise DecodingError(f"a payload has the operation {code}, which no value needs")
            operation(self)
        raise DecodingError("a payload has too many operations")

    # -- reading

    def _take(self, n_bytes: int) -> bytes:
        start, stop = self._at, self._at + n_bytes
        if n_bytes < 0 or stop > len(self._raw):
            raise DecodingError("a payload ends too early")
        self._at = stop
        return self._raw[start:stop]

    def number(self, n_bytes: int) -> int:
        return int.from_bytes(self._take(n_bytes), "little")

    def _line(self) -> bytes:
        stop = self._raw.index(b"\n", self._at)
        found, self._at = self._raw[self._at : stop], stop + 1
        if len(found) > _LONGEST_LINE:
            raise DecodingError("a line of a payload is too long")
        return found

    def text(self, n_bytes: int) -> None:
        self.stack.append(self._take(n_bytes).decode("utf-8", "surrogatepass"))

    def bytes(self, n_bytes: int) -> None:
        self.stack.append(self._take(n_bytes))

    def _items(self) -> list[Value]:
        """Everything above the topmost mark, which goes."""
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                return [_settled(item) if type(item) in _PASSING else item for item in items]
        raise DecodingError("a payload has no mark where it needs one")

    def _pop(self) -> Value:
        value = self.stack.pop()
        if value is _MARK:
            raise DecodingError("a payload has a mark where it needs a value")
        return value

    # -- operations

    def protocol(self) -> None:
        if self.number(1) > 5:  # noqa: PLR2004 - the newest protocol
            raise DecodingError("a payload has an unknown protocol")

    def frame(self) -> None:
        self._take(8)

    def mark(self) -> None:
        self.stack.append(_MARK)

    def pop(self) -> None:
        self.stack.pop()

    def pop_mark(self) -> None:
        self._items()

    def duplicate(self) -> None:
        self.stack.append(self.stack[-1])

    def long(self, n_bytes: int) -> None:
        self.stack.append(int.from_bytes(self._take(n_bytes), "little", signed=True))

    def binary_float(self) -> None:
        self.stack.append(struct.unpack(">d", self._take(8))[0])

    def append(self) -> None:
        value = _settled(self._pop())
        self._list().append(value)

    def appends(self) -> None:
        items = self._items()
        self._list().extend(items)

    def _list(self) -> list[Value]:
        target = self.stack[-1]
        if type(target) is list:
            return target
        if isinstance(target, Inert):
            return []
        raise DecodingError("items are added to what is no list")

    def set_item(self) -> None:
        value, key = _settled(self._pop()), _settled(self._pop())
        self._mapping()[hashable(key)] = value

    def set_items(self) -> None:
        items = self._items()
        mapping = self._mapping()
        for key, value in zip(items[::2], items[1::2], strict=True):
            mapping[hashable(key)] = value

    def _mapping(self) -> dict[Value, Value]:
        target = self.stack[-1]
        if type(target) is dict:
            return target
        if isinstance(target, Inert):
            return {}
        raise DecodingError("items are set in what is no mapping")

    def add_items(self) -> None:
        items = self._items()
        self._list().extend(items)

    def new_list(self) -> None:
        self.stack.append([])

    def new_mapping(self) -> None:
        self.stack.append({})

    def marked_list(self) -> None:
        self.stack.append(self._items())

    def marked_tuple(self) -> None:
        self.stack.append(tuple(self._items()))

    def marked_mapping(self) -> None:
        items = self._items()
        pairs = zip(items[::2], items[1::2], strict=True)
        self.stack.append({hashable(key): value for key, value in pairs})

    def short_tuple(self, size: int) -> None:
        items = [_settled(self._pop()) for _ in range(size)]
        self.stack.append(tuple(reversed(items)))

    def put(self, place: int) -> None:
        value = self.stack[-1]
        self.memo[place] = value
        if isinstance(value, np.dtype | Unfinished):
            self._places[id(value)] = place

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def line_class(self) -> None:
        module, name = self._line().decode(), self._line().decode()
        self.stack.append(Class.named(module, name))

    def stack_class(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DecodingError("the name of a class is no text")
        self.stack.append(Class.named(module, name))

    def reduce(self) -> None:
        arguments = self._pop()
        self.stack.append(call(self._pop(), arguments))

    def new_object(self) -> None:
        arguments = self._pop()
        function = self._pop()
        if isinstance(function, Class) and function.name not in _NEW:
            self.stack.append(Inert(function.name))
        else:
            self.stack.append(call(function, arguments))

    def new_object_with_keywords(self) -> None:
        self._pop()  # keywords, which no class of the list takes
        self.new_object()

    def build(self) -> None:
        """Set the state of the topmost value, which only arrays and dtypes have."""
        state = self._pop()
        value = self._pop()
        if isinstance(value, np.dtype):
            built: Value = with_byte_order(value, state)
        elif isinstance(value, Unfinished):
            built = array_from_state(state)
        else:
            built = value
        place = self._places.get(id(value))
        if place is not None and self.memo.get(place) is value:
            self.memo[place] = built
        self.stack.append(built)


_NEW = frozenset({"collections.OrderedDict"})
"""Classes of the list whose objects may be made without their own constructor."""


_PASSING = (Class, Unfinished)

_STOP = ord(".")


def _constant(*, value: Value) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(value)


def _counted(
    operation: Callable[[_Machine, int], None], n_bytes: int
) -> Callable[[_Machine], None]:
    """An operation whose argument is a number of so many bytes."""
    return lambda machine: operation(machine, machine.number(n_bytes))


_OPERATIONS: Mapping[int, Callable[[_Machine], None]] = MappingProxyType(
    {
        ord(code): operation
        for code, operation in {
            "\x80": _Machine.protocol,
            "\x95": _Machine.frame,
            "(": _Machine.mark,
            "0": _Machine.pop,
            "1": _Machine.pop_mark,
            "2": _Machine.duplicate,
            "N": _constant(value=None),
            "\x88": _constant(value=True),
            "\x89": _constant(value=False),
            "K": _counted(lambda machine, value: machine.stack.append(value), 1),
            "M": _counted(lambda machine, value: machine.stack.append(value), 2),
            "J": lambda machine: machine.long(4),
            "\x8a": _counted(_Machine.long, 1),
            "\x8b": _counted(_Machine.long, 4),
            "G": _Machine.binary_float,
            "\x8c": _counted(_Machine.text, 1),
            "X": _counted(_Machine.text, 4),
            "\x8d": _counted(_Machine.text, 8),
            "C": _counted(_Machine.bytes, 1),
            "B": _counted(_Machine.bytes, 4),
            "\x8e": _counted(_Machine.bytes, 8),
            "\x96": _counted(_Machine.bytes, 8),
            "U": _counted(_Machine.bytes, 1),
            "T": _counted(_Machine.bytes, 4),
            "]": _Machine.new_list,
            "\x8f": _Machine.new_list,
            "a": _Machine.append,
            "e": _Machine.appends,
            "\x90": _Machine.add_items,
            "l": _Machine.marked_list,
            "\x91": _Machine.marked_list,
            ")": _constant(value=()),
            "t": _Machine.marked_tuple,
            "\x85": lambda machine: machine.short_tuple(1),
            "\x86": lambda machine: machine.short_tuple(2),
            "\x87": lambda machine: machine.short_tuple(3),
            "}": _Machine.new_mapping,
            "d": _Machine.marked_mapping,
            "s": _Machine.set_item,
            "u": _Machine.set_items,
            "q": _counted(_Machine.put, 1),
            "r": _counted(_Machine.put, 4),
            "\x94": lambda machine: machine.put(len(machine.memo)),
            "h": _counted(_Machine.get, 1),
            "j": _counted(_Machine.get, 4),
            "c": _Machine.line_class,
            "\x93": _Machine.stack_class,
            "R": _Machine.reduce,
            "\x81": _Machine.new_object,
            "\x92": _Machine.new_object_with_keywords,
            "b": _Machine.build,
        }.items()
    }
)
