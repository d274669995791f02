"""How scans would be saved: by their keys in Redis, or from a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tango_saver.engine.planner import layout_options
from tango_saver.layout import Moment, choose_layout, plan_scan
from tango_saver.layout.explain import explain_plan
from tango_saver.model.scan import ScanDescription, ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.source.factory import open_source
from tango_saver.source.recording import RecordedSource

_NOW = "(when it is saved)"


def explain(what: str, settings: SaverSettings) -> Iterator[str]:
    """The plans of scans in words, one text per scan.

    Args:
        what: the key of a scan, or the path of a recording, all scans of which are explained.
        settings: Redis, layout, and what else decides the form of files.

    Raises:
        SaverError: the scan or the recording cannot be read, or there is no such layout.
    """
    path = Path(what)
    if path.suffix == ".gz" or path.is_file():
        for scan in RecordedSource(path).scans:
            yield explain_scan(scan.closing, settings)
        return
    source = open_source(settings)
    try:
        yield explain_scan(source.describe(ScanKey(what)), settings)
    finally:
        source.close()


def explain_scan(description: ScanDescription, settings: SaverSettings) -> str:
    """The plan of one scan in words, as a saver with these settings makes it.

    Raises:
        ConfigurationError: there is no such layout.
    """
    name, _ = choose_layout(settings.layout, description)
    n_points = description.n_points
    complete = dict.fromkeys(description.channels, n_points) if n_points else None
    moment = Moment("SUCCEEDED", _NOW, end_time=_NOW, n_points=complete)
    plan = plan_scan(settings.layout, description, moment, layout_options(settings))
    text = explain_plan(name, description, plan)
    if description.saved:
        return text
    return (
        f"The session does not want this scan in a file. Saved with SaveScan it would be:\n{text}"
    )
