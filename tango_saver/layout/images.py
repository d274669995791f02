"""The datasets of one entry that show what detectors saved themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tango_saver.errors import LayoutError
from tango_saver.layout.instrument import PlacedChannel, companions
from tango_saver.layout.metadata import text
from tango_saver.layout.options import LayoutOptions
from tango_saver.layout.references import FrameFiles, frame_files, pixel_type
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import PixelDataset, ReferenceDataset, SoftLink
from tango_saver.model.scan import ChannelKind, ScanDescription

_PLAIN_EDF = frozenset({"edf", "edfconcat"})
"""Formats of Lima whose pixels are not compressed."""


@dataclass(frozen=True, slots=True)
class Images:
    """What is shown of the detectors of an entry."""

    references: Mapping[str, ReferenceDataset] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """Channels whose frames are not shown, one sentence each. A detector that was told not to
    save is none of them."""


def plan_images(
    tree: EntryTree,
    description: ScanDescription,
    placed: Iterable[PlacedChannel],
    options: LayoutOptions,
) -> Images:
    """Lay out the frames of the detectors of an entry."""
    references: dict[str, ReferenceDataset] = {}
    left_out: list[str] = []
    for item in placed:
        channel = item.channel
        if channel.kind is not ChannelKind.IMAGE_REFERENCE or channel.problem:
            continue
        try:
            files = frame_files(channel)
        except LayoutError as error:
            left_out.append(f"channel {channel.name} is not saved: {error.fact}")
            continue
        if files is not None:
            reference = _reference(tree, description, item, files)
            if options.edf_pixels and files.file_format in _PLAIN_EDF:
                reference = _with_pixels(tree, item, reference)
            references[channel.name] = reference
    return Images(references, tuple(left_out))


def _reference(
    tree: EntryTree, description: ScanDescription, item: PlacedChannel, files: FrameFiles
) -> ReferenceDataset:
    missing = tree.free_path(f"{item.path}_missing")
    tree.reserve(missing)
    attributes = {"interpretation": "spectrum" if len(files.shape) == 1 else "image"}
    if item.channel.unit:
        attributes["units"] = text(item.channel.unit)
    return ReferenceDataset(
        path=item.path,
        channel=item.channel.name,
        dtype=files.dtype,
        shape=files.shape,
        source=files.dataset,
        missing=missing,
        attributes=attributes,
        companions=companions(tree, description, item),
        reason="virtual over HDF5" if files.dataset else f"table of {files.file_format} files",
    )


def _with_pixels(
    tree: EntryTree, item: PlacedChannel, reference: ReferenceDataset
) -> ReferenceDataset:
    """With the frames as pixels beside their table, and a link in the measurement."""
    found = pixel_type(item.channel)
    if found is None:
        return reference
    dtype, shape = found
    path, link = (
        tree.free_path(f"{name}_pixels")
        for name in (item.path, f"{tree.root}/measurement/{item.link}")
    )
    parts = tree.free_path(f"{path}_parts")
    for taken in (path, link, parts):
        tree.reserve(taken)
    pixels = PixelDataset(
        path=path,
        channel=reference.channel,
        parts=parts,
        dtype=dtype,
        shape=shape,
        attributes=reference.attributes,
        companions=(SoftLink(link, path),),
    )
    return replace(reference, pixels=pixels)
