"""The items of a map that lead into other files: virtual datasets, external binaries, links."""

from __future__ import annotations

from collections.abc import Mapping

from tango_saver.errors import LayoutError
from tango_saver.layout.h5map_files import LinkedFiles
from tango_saver.layout.h5map_values import array_shape, binary_dtype, is_size, shown, sizes
from tango_saver.layout.metadata import text
from tango_saver.model.plan import (
    Attributes,
    ExternalBinary,
    ExternalFile,
    ExternalLink,
    Selection,
    SoftLink,
    VirtualDataset,
    VirtualSource,
)
from tango_saver.model.scan import Json


def soft_link(path: str, item: Mapping[str, Json]) -> SoftLink:
    """A link inside the file; it may lead nowhere.

    Raises:
        LayoutError: it has no target.
    """
    return SoftLink(path, _object_path(item.get("target_path")))


def external_link(
    path: str, item: Mapping[str, Json], names: LinkedFiles
) -> ExternalLink | SoftLink:
    """A link into another file; one into the same file is a soft link.

    Raises:
        LayoutError: it has no target, or the file may not be linked.
    """
    file, target = names.for_link(item.get("target_file")), _object_path(item.get("target_path"))
    return SoftLink(path, target) if file == "." else ExternalLink(path, file, target)


def external_binary(
    path: str, item: Mapping[str, Json], attributes: Attributes, names: LinkedFiles
) -> ExternalBinary:
    """A dataset whose values lie in plain files.

    Raises:
        LayoutError: a part of it is malformed, or a file may not be named.
    """
    files = item.get("files")
    if not isinstance(files, list) or not files:
        raise LayoutError("it names no files")
    return ExternalBinary(
        path,
        binary_dtype(item.get("dtype")),
        array_shape(item.get("shape")),
        tuple(_external_file(file, names) for file in files),
        attributes,
    )


def virtual_dataset(
    path: str, item: Mapping[str, Json], attributes: Attributes, names: LinkedFiles
) -> VirtualDataset:
    """A dataset made of parts of others.

    Raises:
        LayoutError: a part of it is malformed, does not fit, or a file may not be named.
    """
    shape = array_shape(item.get("shape"))
    listed = item.get("virtual_sources")
    if not isinstance(listed, list) or not listed:
        raise LayoutError("it names no sources")
    sources = tuple(_virtual_source(source, shape, names) for source in listed)
    used = tuple(source for source in sources if source.selection.n_points)
    if not used:
        raise LayoutError("its sources select nothing")
    return VirtualDataset(path, binary_dtype(item.get("dtype")), shape, used, attributes)


def _object_path(target: Json) -> str:
    if not isinstance(target, str) or not target:
        raise LayoutError("the path that it leads to is missing")
    return text(target)


def _external_file(file: Json, names: LinkedFiles) -> ExternalFile:
    if not isinstance(file, Mapping):
        raise LayoutError(f"one of its files is {shown(file)}")
    offset, size = file.get("offset", 0), file.get("size")
    if not is_size(offset) or not (size is None or is_size(size)):
        raise LayoutError("the offset or size of one of its files is no number of bytes")
    return ExternalFile(names.absolute(file.get("name")), offset, size)


def _virtual_source(source: Json, shape: tuple[int, ...], names: LinkedFiles) -> VirtualSource:
    if not isinstance(source, Mapping):
        raise LayoutError(f"one of its sources is {shown(source)}")
    selection = _selection(source.get("vspace"))
    if len(selection.start) != len(shape) or any(
        stop > extent for stop, extent in zip(selection.stop, shape, strict=True)
    ):
        raise LayoutError(f"a source does not fit into its shape {shape}")
    inside = _selection(source.get("src_space"))
    if inside.n_points != selection.n_points:
        raise LayoutError(
            f"a source gives {inside.n_points} values for {selection.n_points} elements"
        )
    file = names.for_link(source.get("src_file"))
    return VirtualSource(file, _object_path(source.get("src_dataset")), inside, selection)


def _selection(space: Json) -> Selection:
    if not isinstance(space, Mapping):
        raise LayoutError("a source says not which of its values are meant")
    start, count = sizes(space.get("start"), "start"), sizes(space.get("count"), "count")
    ones = (1,) * len(start)
    stride, block = (
        ones if space.get(name) is None else sizes(space[name], name)
        for name in ("stride", "block")
    )
    if not start or {len(count), len(stride), len(block)} != {len(start)}:
        raise LayoutError("a selection has parts of different rank, or none")
    if any(
        not width or (number > 1 and width > step)
        for number, step, width in zip(count, stride, block, strict=True)
    ):
        raise LayoutError("the blocks of a selection are empty or overlap")
    return Selection(start, count, stride, block)
