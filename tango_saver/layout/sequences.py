"""The entry of a sequence: which scans belong to it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import numpy as np

from tango_saver.layout.metadata import text
from tango_saver.layout.moment import Member
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import ExternalLink, SoftLink

NUMBERS, SCANS, NOT_LINKED = "scan_numbers", "scans", "not_linked"


def add_members(
    tree: EntryTree, target: str, members: Sequence[Member], *, numbers: bool = True
) -> None:
    """Add the numbers of the sub-scans and links to their entries.

    ``measurement/scan_numbers`` holds the numbers, as in files of BLISS 1; ``scans`` a link to
    every entry that is in a file, and in ``not_linked`` one sentence for each sub-scan that is
    not.

    Args:
        tree: of the sequence's entry.
        target: the file that it is in.
        members: in the order in which the sequence announced them.
        numbers: whether to add the numbers; BLISS 1 publishes them as a channel.
    """
    if not members:
        return
    if numbers:
        path = tree.free_path(f"{tree.root}/measurement/{NUMBERS}")
        tree.value(path, np.array([member.number for member in members], np.int64))
    add_links(tree, target, members)


def add_links(tree: EntryTree, target: str, members: Sequence[Member]) -> None:
    """Add ``scans``: a link to every entry that is in a file; see ``add_members``."""
    scans = tree.group(tree.free_path(f"{tree.root}/{SCANS}"), "NXcollection")
    tree.reserve(f"{scans}/{NOT_LINKED}")
    for member in members:
        for entry in member.entries:
            path = tree.free_path(f"{scans}/{entry}")
            if member.target == target:
                tree.link(SoftLink(path, f"/{entry}"))
            else:
                file = posixpath.relpath(member.target, posixpath.dirname(target))
                tree.link(ExternalLink(path, file, f"/{entry}"))
    sentences = tuple(text(member.sentence) for member in members if member.problem)
    if sentences:
        tree.release(f"{scans}/{NOT_LINKED}")
        tree.value(f"{scans}/{NOT_LINKED}", sentences)
