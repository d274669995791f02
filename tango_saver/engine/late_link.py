"""Links a scan that went beside its target into it; the worker's side of ``AwaitedLinks``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tango_saver.engine.messages import LinkScan, ScanLinked
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.scan_file import ScanFile
from tango_saver.errors import SinkError, TargetAwayError, TargetLockedError
from tango_saver.model.scan import EndReason

_PATIENCE_S = 1.0


def link_scan(order: LinkScan, targets: OpenTargets, ends: Callable[[], bool]) -> ScanLinked:
    """Make the links, and end what an earlier attempt left in the target."""
    target = Path(order.target)
    try:
        if not target.parent.is_dir():
            raise TargetAwayError(f"{target.parent} is not there")  # noqa: TRY301
        opened, _ = targets.acquire(target)
        try:
            with opened.use() as file:
                names = file.add_scan(_seen_from(target, Path(order.file)), order.entries)
        finally:
            targets.release(opened)
        part = ScanFile(order.key, order.target, 0.0, targets, _PATIENCE_S)
        try:
            part.abandon(EndReason.FAILURE.value, f"the whole scan is in {order.file}")
        finally:
            part.release()
    except (TargetLockedError, TargetAwayError) as error:
        return ScanLinked(order.key, order.target, problem=str(error), again=True)
    except SinkError as error:
        return ScanLinked(order.key, order.target, problem=str(error), again=ends())
    return ScanLinked(order.key, order.target, names)


def _seen_from(target: Path, file: Path) -> str:
    """The file as a link in the target names it: relative if it lies in the same folder."""
    return os.fspath(file.name if file.parent == target.parent else file)
