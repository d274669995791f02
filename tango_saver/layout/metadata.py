"""Metadata of a scan: nested mappings of JSON values as groups, datasets and attributes.

The syntax is that of silx's ``dicttonx``: ``@name`` is an attribute of the group,
``key@name`` one of the dataset or group ``key``, ``key>`` a link; a mapping is a group,
NXcollection unless its ``@NX_class`` or the caller says otherwise. Mappings without content
are dropped.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tango_saver.errors import LayoutError
from tango_saver.layout.naming import link_name
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import ExternalLink, SoftLink, StaticValue
from tango_saver.model.scan import Json

DEEPEST_ARRAY = 32
"""Dimensions of an HDF5 dataset; lists nested deeper are saved as JSON text."""
DEEPEST_GROUP = 64
"""Mappings nested deeper are saved as JSON text."""
LARGEST_ATTRIBUTE = 60_000
"""Bytes; HDF5's default file format has no room for an attribute above 64 KiB."""
TEXT_REFERENCE = 16
"""Bytes of one variable-length text in an attribute; the text itself lies in a heap."""
INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)


def text(value: str) -> str:
    """The text as HDF5 can store it: no NUL, no lone surrogate; those become U+FFFD."""
    return value.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def static_value(value: Json) -> StaticValue:
    """A JSON value as the value of a dataset or attribute.

    null is NaN, as BLISS publishes NaN and infinities as null. A list of numbers is an
    array, a list of texts an array of texts; a ragged or mixed list is its JSON text, and
    so is an integer that no HDF5 integer holds.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, list | tuple):
        return _array(list(value))
    return text(value) if isinstance(value, str) else _json_text(value)


def attribute_value(value: Json) -> StaticValue:
    """A JSON value as the value of an attribute: as JSON text if the array is too large."""
    converted = static_value(value)
    too_many = isinstance(converted, tuple) and len(converted) * TEXT_REFERENCE > LARGEST_ATTRIBUTE
    too_large = isinstance(converted, np.ndarray) and converted.nbytes > LARGEST_ATTRIBUTE
    return _json_text(value) if too_many or too_large else converted


def _json_text(value: Json) -> str:
    try:
        return text(json.dumps(value, ensure_ascii=False))
    except RecursionError as error:
        raise LayoutError(
            "metadata are nested too deeply", advice="Publish them less nested"
        ) from error


def _integer(value: int) -> StaticValue:
    if value in INT64:
        return value
    return np.array(value, np.uint64) if value in UINT64 else str(value)


def _array(values: list[Json]) -> StaticValue:
    if values and all(isinstance(value, str) for value in values):
        return tuple(text(value) for value in values)
    if _depth(values) > DEEPEST_ARRAY:
        return _json_text(values)
    leaves = list(_leaves(values))
    dtype = _common_dtype(leaves)
    if dtype is not None and _is_regular(values):
        filled = [math.nan if leaf is None else leaf for leaf in leaves]
        return np.array(filled, dtype).reshape(_shape(values))
    return _json_text(values)


def _depth(values: list[Json]) -> int:
    depth, level = 0, [values]
    while level:
        depth += 1
        level = [value for inner in level for value in inner if isinstance(value, list)]
    return depth


def _leaves(values: list[Json]) -> Iterator[Json]:
    for value in values:
        if isinstance(value, list):
            yield from _leaves(value)
        else:
            yield value


def _common_dtype(leaves: list[Json]) -> np.dtype[Any] | None:
    kinds = {type(leaf) for leaf in leaves}
    if kinds == {bool}:
        return np.dtype(bool)
    if kinds == {int}:
        if all(leaf in INT64 for leaf in leaves):
            return np.dtype(np.int64)
        return np.dtype(np.uint64) if all(leaf in UINT64 for leaf in leaves) else None
    if kinds <= {int, float, type(None)}:
        exact = all(abs(leaf) < 2**53 for leaf in leaves if isinstance(leaf, int))
        return np.dtype(np.float64) if exact else None
    return None


def _shape(values: list[Json]) -> tuple[int, ...]:
    if values and isinstance(values[0], list):
        return (len(values), *_shape(values[0]))
    return (len(values),)


def _is_regular(values: list[Json]) -> bool:
    """Whether the nested lists are a rectangular array."""
    if not any(isinstance(value, list) for value in values):
        return True
    if not all(isinstance(value, list) and _is_regular(value) for value in values):
        return False
    return len({_shape(value) for value in values}) == 1


def add_mapping(
    tree: EntryTree,
    path: str,
    mapping: Mapping[str, Json],
    default_class: str = "NXcollection",
    inner_class: str = "NXcollection",
) -> None:
    """Add a mapping as the group ``path``, merging with what is there.

    Args:
        tree: of the entry.
        path: of the group.
        mapping: what is in it.
        default_class: of the group, unless the mapping says otherwise.
        inner_class: of the groups in it, likewise.

    A link's target that is not absolute is looked for from the link's group upwards to the
    entry, and left relative if it is nowhere.
    """
    links: list[tuple[str, str]] = []
    if _has_content(mapping):
        _add_group(tree, path, mapping, (default_class, inner_class), links)
    for link, target in links:
        _add_link(tree, link, target)


def _has_content(mapping: Mapping[str, Json]) -> bool:
    """Whether there is anything but attributes, however deep."""
    level = [mapping]
    while level:
        members = [value for inner in level for key, value in inner.items() if "@" not in key]
        if any(not isinstance(member, Mapping) for member in members):
            return True
        level = members
    return False


def _add_group(
    tree: EntryTree,
    path: str,
    mapping: Mapping[str, Json],
    classes: tuple[str, str],
    links: list[tuple[str, str]],
) -> None:
    default_class, inner_class = classes
    own = {
        key[1:] or "_": attribute_value(value) for key, value in mapping.items() if key[:1] == "@"
    }
    nx_class = own.pop("NX_class", default_class)
    path = tree.group(path, nx_class if isinstance(nx_class, str) else default_class, own)
    made: dict[str, str] = {}
    for key, value in mapping.items():
        if "@" in key:
            continue
        member = f"{path}/{link_name(key.removesuffix('>'))}"
        if isinstance(value, Mapping) and member.count("/") < DEEPEST_GROUP:
            if _has_content(value):
                _add_group(tree, member, value, (inner_class, inner_class), links)
        elif key.endswith(">") and isinstance(value, str):
            links.append((member, value))
        else:
            made[key] = tree.value(member, static_value(value))
    _add_attributes(tree, path, mapping, made)


def _add_attributes(
    tree: EntryTree, path: str, mapping: Mapping[str, Json], made: Mapping[str, str]
) -> None:
    for key, value in mapping.items():
        name, separator, attribute = key.partition("@")
        if not separator or not name:
            continue
        member = made.get(name, f"{path}/{link_name(name)}")
        if not tree.attribute(member, attribute or "_", attribute_value(value)):
            tree.warnings.append(f"{member} does not exist, its attribute {attribute} is not saved")


def _add_link(tree: EntryTree, path: str, target: str) -> None:
    file, separator, inside = target.partition("::")
    if separator:
        tree.link(ExternalLink(path, text(file), text(inside) or "/"))
        return
    tree.link(SoftLink(path, _resolved(tree, path, text(target))))


def _resolved(tree: EntryTree, path: str, target: str) -> str:
    if target.startswith("/"):
        return target
    group = posixpath.dirname(path)
    while group.startswith(tree.root):
        candidate = posixpath.normpath(f"{group}/{target}")
        if tree.is_taken(candidate):
            return candidate
        group = posixpath.dirname(group)
    tree.warnings.append(f"the link {path} points at {target}, which is not in the entry")
    return target
