"""A plan in words: which channel goes where, in which form, and by which rule."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tango_saver.model.plan import (
    ExternalBinary,
    ExternalLink,
    FilePlan,
    Filter,
    FirstPoints,
    Group,
    Node,
    PointKind,
    ReferenceDataset,
    ReshapedView,
    SoftLink,
    Storage,
    StreamDataset,
    Value,
    VirtualDataset,
)
from tango_saver.model.scan import ScanDescription

_MOST_FILES = 3
"""Names of files that are told of one dataset."""


def explain_plan(layout_name: str, description: ScanDescription, plan: FilePlan) -> str:
    """The plan of a scan as text, one fact per line.

    Args:
        layout_name: what the plan was made by.
        description: of the scan.
        plan: for it.
    """
    lines = [
        f"scan     {description.label} of session {description.session} ({description.key})",
        f"layout   {layout_name}",
        f"points   {description.n_points or 'unknown number'} per channel expected",
    ]
    for part in (plan, *plan.further):
        lines += ["", *_file(part, description)]
    left_out = [name for name in description.channels if name not in _saved(plan)]
    if left_out:
        lines += ["", "channels without a dataset", *(f"  {name}" for name in left_out)]
    if plan.warnings:
        lines += ["", "warnings", *(f"  {sentence}" for sentence in plan.warnings)]
    return "\n".join(lines) + "\n"


def _saved(plan: FilePlan) -> set[str]:
    parts = (plan, *plan.further)
    return {name for part in parts for name in (*part.streams, *part.references)}


def _file(plan: FilePlan, description: ScanDescription) -> Iterator[str]:
    yield f"file     {plan.target}"
    yield f"entries  {', '.join(plan.entries) or 'none'}"
    links, views = _links(plan), _views(plan)
    order = {name: index for index, name in enumerate(description.channels)}
    for name in sorted({*plan.streams, *plan.references}, key=lambda name: order.get(name, 0)):
        yield ""
        yield f"channel  {name}"
        for dataset in plan.streams.get(name, ()):
            yield from _stream(dataset, links, views.get(dataset.path, ()))
        reference = plan.references.get(name)
        if reference is not None:
            yield from _reference(reference, links.get(reference.path, ()))
    elsewhere = [line for node in plan.nodes for line in _elsewhere(node)]
    if elsewhere:
        yield from ("", "from other files", *elsewhere)
    yield from ("", "besides")
    yield from _groups(plan)


def _stream(
    dataset: StreamDataset, links: Mapping[str, Iterable[str]], views: Iterable[ReshapedView]
) -> Iterator[str]:
    yield f"  dataset  {dataset.path}"
    yield from (f"  link     {link}" for link in links.get(dataset.path, ()))
    for view in views:
        yield f"  grid     {view.path} {_shape(view.shape)}"
        yield from (f"  link     {link}" for link in links.get(view.path, ()))
    yield f"  points   {_points(dataset)}"
    yield f"  storage  {_storage(dataset.storage)}"
    if dataset.reason:
        yield f"  rule     {dataset.reason}"


def _reference(dataset: ReferenceDataset, links: Iterable[str]) -> Iterator[str]:
    yield f"  dataset  {dataset.path}"
    yield from (f"  link     {link}" for link in links)
    if dataset.dtype is None:
        yield "  frames   table of file names and indices"
        if dataset.pixels is not None:
            pixels = dataset.pixels
            yield f"  pixels   {pixels.path}, {pixels.dtype.name} {_shape(pixels.shape)}"
    else:
        yield f"  frames   {dataset.dtype.name} {_shape(dataset.shape)}"
        yield f"  storage  virtual dataset over {dataset.source} in the detector's files"
    if dataset.reason:
        yield f"  rule     {dataset.reason}"


def _points(dataset: StreamDataset) -> str:
    if dataset.kind is PointKind.TEXT or dataset.dtype is None:
        return "text"
    order = ", big endian" if dataset.dtype.byteorder == ">" else ""
    return f"{dataset.dtype.name} {_shape(dataset.shape)}{order}"


def _shape(shape: Iterable[int | None]) -> str:
    extents = ["?" if extent is None else str(extent) for extent in shape]
    return f"({' x '.join(extents)})" if extents else "scalar"


def _storage(storage: Storage) -> str:
    chunk = " x ".join(map(str, storage.chunk))
    name = "no filter" if storage.filter is Filter.NONE else storage.filter.value
    checksum = ", checksum" if storage.checksum else ""
    reason = f" ({storage.reason})" if storage.reason else ""
    return f"chunks of {chunk}, {name}{checksum}{reason}"


def _all_nodes(plan: FilePlan) -> dict[str, Node]:
    """Every node but the datasets of channels, by path."""
    companions = [
        node
        for datasets in plan.streams.values()
        for dataset in datasets
        for node in dataset.companions
    ]
    companions += [node for dataset in plan.references.values() for node in dataset.companions]
    return {node.path: node for node in (*companions, *plan.nodes, *plan.last)}


def _links(plan: FilePlan) -> dict[str, list[str]]:
    """Absolute path of an object -> paths of the soft links to it."""
    links: dict[str, list[str]] = {}
    for node in _all_nodes(plan).values():
        if isinstance(node, SoftLink):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(node.path), node.target))
            links.setdefault(target, []).append(node.path)
    return links


def _views(plan: FilePlan) -> dict[str, list[ReshapedView]]:
    """Path of a dataset -> its views."""
    views: dict[str, list[ReshapedView]] = {}
    for node in _all_nodes(plan).values():
        if isinstance(node, ReshapedView):
            views.setdefault(node.source, []).append(node)
    return views


def _elsewhere(node: Node) -> Iterator[str]:
    files: list[str] = []
    match node:
        case ExternalLink(path, file, target):
            yield f"  {path}  link to {target} in {file}"
        case VirtualDataset(path, dtype, shape, sources):
            files = list(dict.fromkeys(source.file for source in sources))
            yield f"  {path}  virtual {dtype.name} {_shape(shape)} over {_some(files)}"
        case ExternalBinary(path, dtype, shape, pieces):
            files = list(dict.fromkeys(piece.name for piece in pieces))
            yield f"  {path}  {dtype.name} {_shape(shape)} as it lies in {_some(files)}"
        case _:
            return


def _some(files: list[str]) -> str:
    more = len(files) - _MOST_FILES
    return ", ".join(files[:_MOST_FILES]) + (f" and {more} more" if more > 0 else "")


def _groups(plan: FilePlan) -> Iterator[str]:
    """One line per entry and per group in it, with what is in them."""
    nodes = _all_nodes(plan)
    datasets = {item.path for items in plan.streams.values() for item in items}
    datasets.update(item.path for item in plan.references.values())
    tops = sorted({"/".join(path.split("/")[:3]) for path in (*nodes, *datasets)})
    for entry in plan.entries:
        inside = [node for path, node in nodes.items() if path.rpartition("/")[0] == f"/{entry}"]
        yield f"  /{entry}  {_kind(nodes.get(f'/{entry}'))}{_count(inside)}"
        for top in tops:
            if top.startswith(f"/{entry}/") and isinstance(nodes.get(top), Group):
                below = [node for path, node in nodes.items() if path.startswith(f"{top}/")]
                n_channels = sum(path.startswith(f"{top}/") for path in datasets)
                yield f"  {top}  {_kind(nodes[top])}{_count(below, n_channels)}"


def _kind(node: Node | None) -> str:
    match node:
        case Group():
            return str(node.attributes.get("NX_class", "group"))
        case ExternalLink():
            return "link"
        case _:
            return "dataset"


def _count(nodes: Iterable[Node], n_channels: int = 0) -> str:
    counts: Counter[str] = Counter()
    for node in nodes:
        match node:
            case Group():
                counts["groups"] += 1
            case Value() | FirstPoints():
                counts["values"] += 1
            case SoftLink() | ExternalLink():
                counts["links"] += 1
            case ReshapedView() | VirtualDataset() | ExternalBinary():
                counts["views"] += 1
    counts["channels"] = n_channels
    order = ("groups", "channels", "values", "links", "views")
    words = [
        f"{counts[name]} {name if counts[name] > 1 else name[:-1]}"
        for name in order
        if counts[name]
    ]
    return f": {', '.join(words)}" if words else ""
