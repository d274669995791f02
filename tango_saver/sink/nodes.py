"""The nodes of a plan in HDF5: groups, values, links, views, attributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5p, h5s, h5t, string_dtype

from tango_saver.model.plan import (
    Attributes,
    ExternalBinary,
    ExternalLink,
    FirstPoints,
    Group,
    Node,
    ReshapedView,
    Selection,
    SoftLink,
    StaticValue,
    Value,
    VirtualDataset,
)

_TEXT = h5t.py_create(string_dtype("utf-8"), logical=True)
_TEXT_DTYPE = string_dtype("utf-8")
_TEXT_IN_MEMORY = h5t.py_create(_TEXT_DTYPE)
_SCALAR = h5s.create(h5s.SCALAR)
_LARGEST_INT = 2**63
_LARGEST_UINT = 2**64
_COPIED_AT_ONCE = 1 << 17
"""Points."""

DtypeOf: TypeAlias = Callable[[str], np.dtype[Any]]
"""Path of a dataset in the file -> its dtype."""


def _link_creation() -> h5p.PropLCID:
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(h5t.CSET_UTF8)
    properties.set_create_intermediate_group(True)
    return properties


LINKS = _link_creation()
"""Names of links are UTF-8, and missing parent groups are made."""


def clean_text(text: str) -> bytes:
    """Text as UTF-8; what HDF5 or UTF-8 cannot hold appears as its escape sequence."""
    return text.encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")


@cache
def type_in_file(dtype: np.dtype[Any]) -> h5t.TypeID:
    """The HDF5 type that h5py reads as this dtype.

    Raises:
        TypeError: there is none.
    """
    return h5t.py_create(dtype, logical=True)


def fill_value(dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """What stands for a missing element: NaN for float and complex, else zero."""
    missing = np.zeros((), dtype)
    if dtype.kind in "fc":
        missing[...] = np.nan
    return missing


def exists(root: h5g.GroupID, path: str) -> bool:
    """Whether a link of that name is there, wherever it leads."""
    encoded = path.encode()
    parts = encoded.strip(b"/").split(b"/")
    return all(
        root.links.exists(b"/" + b"/".join(parts[: depth + 1])) for depth in range(len(parts))
    )


class Folders:
    """The groups of a file, each opened once: paths need not be walked from the root.

    Used while a batch of nodes is made, then forgotten.
    """

    def __init__(self, root: h5g.GroupID) -> None:
        self.root = root
        self._open: dict[str, h5g.GroupID] = {"": root}

    def place(self, path: str) -> tuple[h5g.GroupID, bytes]:
        """Parent group of a node (made if it is missing) and the node's name in it."""
        parent, _, name = path.rpartition("/")
        group = self._open.get(parent)
        if group is None:
            encoded = parent.encode()
            try:
                group = h5g.open(self.root, encoded)
            except (KeyError, ValueError, RuntimeError):
                group = h5g.create(self.root, encoded, lcpl=LINKS)
            self._open[parent] = group
        if not name or name == ".":
            raise ValueError(f"{name!r} is no name in HDF5")
        return group, name.encode()

    def remember(self, path: str, group: h5g.GroupID) -> None:
        """A group that was just made."""
        self._open[path] = group


def create_node(folders: Folders, node: Node, dtype_of: DtypeOf) -> None:
    """Make a node that is not there yet, and parent groups that are missing.

    Raises:
        OSError, RuntimeError, ValueError, TypeError, KeyError: HDF5 cannot make it, or has
            something of that name.
    """
    parent, name = folders.place(node.path)
    match node:
        case Group():
            group = h5g.create(parent, name, lcpl=LINKS)
            folders.remember(node.path, group)
            _add_attributes(group, node.attributes)
        case Value():
            data, kind = _stored(node.value)
            made = h5d.create(parent, name, kind, _space(data), None, LINKS)
            _write(made, data, kind)
            _add_attributes(made, node.attributes)
        case SoftLink():
            parent.links.create_soft(name, node.target.encode(), lcpl=LINKS)
        case ExternalLink():
            parent.links.create_external(name, node.file.encode(), node.target.encode(), lcpl=LINKS)
        case ReshapedView():
            _create_view(parent, name, node, dtype_of(node.source))
        case FirstPoints():
            _copy_first(folders.root, parent, name, node)
        case VirtualDataset():
            _create_virtual(parent, name, node)
        case ExternalBinary():
            _create_external(parent, name, node)


def set_attributes(owner: h5g.GroupID | h5d.DatasetID, attributes: Attributes) -> None:
    """Set attributes, in the place of those of the same names.

    Raises:
        OSError, RuntimeError, ValueError, TypeError: HDF5 cannot hold one of them.
    """
    remove_attributes(owner, attributes)
    _add_attributes(owner, attributes)


def remove_attributes(owner: h5g.GroupID | h5d.DatasetID, names: Iterable[str]) -> None:
    """Remove attributes; those that are not there are no error."""
    for name in names:
        if h5a.exists(owner, name.encode()):
            h5a.delete(owner, name.encode())


def _add_attributes(owner: h5g.GroupID | h5d.DatasetID, attributes: Attributes) -> None:
    for name, value in attributes.items():
        data, kind = _stored(value)
        _write(h5a.create(owner, name.encode(), kind, _space(data)), data, kind)


def same_value(left: StaticValue, right: StaticValue) -> bool:
    """Whether two static values are stored alike."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        if left.dtype != right.dtype or left.shape != right.shape:
            return False
        if left.dtype.hasobject:
            return repr(left.tolist()) == repr(right.tolist())
        return left.tobytes() == right.tobytes()
    # repr, because NaN is not equal to itself and 1 is equal to True
    return type(left) is type(right) and repr(left) == repr(right)


def same_attributes(left: Attributes, right: Attributes) -> bool:
    """Whether two sets of attributes are stored alike."""
    return left.keys() == right.keys() and all(
        same_value(value, right[name]) for name, value in left.items()
    )


def same_node(left: Node, right: Node) -> bool:
    """Whether two nodes of the same path are stored alike."""
    if isinstance(left, SoftLink | ExternalLink) or isinstance(right, SoftLink | ExternalLink):
        return left == right
    if isinstance(left, Value) and isinstance(right, Value):
        if not same_value(left.value, right.value):
            return False
    elif replace(left, attributes={}) != replace(right, attributes={}):
        return False
    return same_attributes(left.attributes, right.attributes)


def _stored(value: StaticValue) -> tuple[npt.NDArray[Any], h5t.TypeID]:
    """A value as the array that is written, and its type in the file."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "USO":
        texts = np.empty(value.shape, _TEXT_DTYPE)
        for index in np.ndindex(value.shape):
            texts[index] = clean_text(_as_text(value[index]))
        return texts, _TEXT
    if isinstance(value, str):
        text = np.empty((), _TEXT_DTYPE)
        text[()] = clean_text(value)
        return text, _TEXT
    if isinstance(value, tuple):
        texts = np.empty(len(value), _TEXT_DTYPE)
        texts[:] = [clean_text(item) for item in value]
        return texts, _TEXT
    data = np.asarray(value, _number_type(value))
    if data.dtype.names is not None:
        data = _table(data)
    return data, type_in_file(data.dtype)


def _table(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A structured array with its texts as HDF5 takes them."""
    table = np.empty(data.shape, _with_texts(data.dtype))
    for name in data.dtype.names or ():
        column = data[name]
        if column.dtype.names is not None:
            table[name] = _table(column)
        elif column.dtype.kind in "USO":
            for index in np.ndindex(data.shape):
                table[name][index] = clean_text(_as_text(column[index]))
        else:
            table[name] = column
    return table


def _with_texts(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind in "USO":
        text: np.dtype[Any] = _TEXT_DTYPE
        return text
    if dtype.names is None:
        return dtype
    return np.dtype([(name, _with_texts(dtype[name])) for name in dtype.names])


def _as_text(item: object) -> str:
    return item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else str(item)


def _number_type(value: StaticValue) -> np.dtype[Any] | type | None:
    """The 64-bit types; an integer that none of them holds becomes a float."""
    if isinstance(value, int) and not isinstance(value, bool):
        if -_LARGEST_INT <= value < _LARGEST_INT:
            return np.int64
        return np.uint64 if 0 <= value < _LARGEST_UINT else np.float64
    return None


def _space(data: npt.NDArray[Any]) -> h5s.SpaceID:
    return h5s.create_simple(data.shape) if data.shape else _SCALAR


def _write(made: h5d.DatasetID | h5a.AttrID, data: npt.NDArray[Any], kind: h5t.TypeID) -> None:
    if not data.size:
        return
    memory = kind
    if kind is _TEXT:
        memory = _TEXT_IN_MEMORY
    elif data.dtype.names is not None:
        memory = h5t.py_create(data.dtype)
    if isinstance(made, h5a.AttrID):
        made.write(data, mtype=memory)
    else:
        made.write(h5s.ALL, h5s.ALL, data, mtype=memory)


def _create_view(
    parent: h5g.GroupID, name: bytes, view: ReshapedView, dtype: np.dtype[Any]
) -> None:
    """One mapping for each row of the grid, of the rank of the source.

    HDF5 2.0 never returns from reading, or crashes, when one mapping of the whole grid has a
    source that is still shorter; row by row it reads what is there.
    """
    grid = h5s.create_simple(view.shape)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.VIRTUAL)
    width = view.shape[-1]
    row, piece = grid.copy(), h5s.create_simple((math.prod(view.shape),))
    for number, index in enumerate(np.ndindex(view.shape[:-1])):
        row.select_hyperslab((*index, 0), (*(1 for _ in index), width))
        piece.select_hyperslab((number * width,), (width,))
        properties.set_virtual(row, b".", view.source.encode(), piece)
    if dtype.kind in "fc":
        properties.set_fill_value(fill_value(dtype))
    kind = type_in_file(dtype)
    made = h5d.create(parent, name, kind, grid, properties, LINKS)
    _add_attributes(made, view.attributes)


def _copy_first(root: h5g.GroupID, parent: h5g.GroupID, name: bytes, node: FirstPoints) -> None:
    source = h5d.open(root, node.source.encode())
    inside, copied = source.get_space(), h5s.create_simple((node.n_points,))
    made = h5d.create(parent, name, type_in_file(source.dtype), copied, None, LINKS)
    for first in range(0, node.n_points, _COPIED_AT_ONCE):
        part = np.empty(min(_COPIED_AT_ONCE, node.n_points - first), source.dtype)
        here = h5s.create_simple(part.shape)
        inside.select_hyperslab((first,), part.shape)
        source.read(here, inside, part)
        copied.select_hyperslab((first,), part.shape)
        made.write(here, copied, part)
    _add_attributes(made, node.attributes)


def _create_virtual(parent: h5g.GroupID, name: bytes, node: VirtualDataset) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.VIRTUAL)
    for part in node.sources:
        properties.set_virtual(
            _selected(node.shape, part.selection),
            part.file.encode(),
            part.dataset.encode(),
            # The true extent of the source may be larger; HDF5 sees that when it reads.
            _selected(part.source.stop, part.source),
        )
    if node.dtype.kind in "fc":
        properties.set_fill_value(fill_value(node.dtype))
    kind = type_in_file(node.dtype)
    made = h5d.create(parent, name, kind, h5s.create_simple(node.shape), properties, LINKS)
    _add_attributes(made, node.attributes)


def _selected(shape: tuple[int, ...], selection: Selection) -> h5s.SpaceID:
    space = h5s.create_simple(shape)
    space.select_hyperslab(selection.start, selection.count, selection.stride, selection.block)
    return space


def _create_external(parent: h5g.GroupID, name: bytes, node: ExternalBinary) -> None:
    properties = h5p.create(h5p.DATASET_CREATE)
    for file in node.files:
        size = h5s.UNLIMITED if file.size is None else file.size
        properties.set_external(file.name.encode(), file.offset, size)
    space = h5s.create_simple(node.shape) if node.shape else _SCALAR
    made = h5d.create(parent, name, type_in_file(node.dtype), space, properties, LINKS)
    _add_attributes(made, node.attributes)
