"""Files that a plan leads to and that are not there: what they should show reads as nothing."""

from __future__ import annotations

from pathlib import Path

from tango_saver.model.plan import ExternalBinary, FilePlan, VirtualDataset

_MOST_SENTENCES = 20


def absent_files(plan: FilePlan, target: Path) -> tuple[str, ...]:
    """One sentence for each file behind a virtual or external dataset that does not exist.

    Args:
        plan: of the file; its links may lead nowhere, as the session wants.
        target: resolved path of the file itself.
    """
    shown: dict[str, str] = {}
    for node in plan.nodes:
        if isinstance(node, VirtualDataset):
            for source in node.sources:
                shown.setdefault(source.file, node.path)
        elif isinstance(node, ExternalBinary):
            for file in node.files:
                shown.setdefault(file.name, node.path)
    absent = [name for name in shown if name != "." and not _exists(target.parent / name)]
    sentences = [
        f"{shown[name]} in {target} shows parts of {name}, which does not exist"
        for name in absent[:_MOST_SENTENCES]
    ]
    if len(absent) > _MOST_SENTENCES:
        sentences.append(f"{len(absent) - _MOST_SENTENCES} more such files do not exist")
    return tuple(sentences)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no name that a file can have
        return False
