from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tango_saver.layout import Moment, plan_scan
from tango_saver.model.scan import (
    ChannelKind,
    ChannelSpec,
    ScanDescription,
    ScanKey,
    ScanState,
)

DOCUMENT = Path(__file__).parents[2] / "resources" / "docs" / "names.md"


def rows() -> Iterator[tuple[list[str], list[str]]]:
    """Channels and datasets of each line of the table."""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            left, right = line.strip("|").split("|")
            yield re.findall("`(.*?)`", left), re.findall("`(.*?)`", right)


@pytest.mark.parametrize(("channels", "datasets"), list(rows()))
def test_names_that_meet_become_what_the_document_says(
    channels: list[str], datasets: list[str]
) -> None:
    scan = ScanDescription(
        key=ScanKey("k"),
        session="s",
        name="ct",
        number=1,
        state=ScanState.PREPARED,
        saved=True,
        writer="nexus",
        target="/data/x.h5",
        state_stream="t",
        channels={
            name: ChannelSpec(name, name, ChannelKind.NUMERIC, np.dtype("<f8"), ())
            for name in channels
        },
    )
    made = plan_scan("nexus", scan, Moment("RUNNING", "2026-11-24T17:00:00+00:00"))
    paths = {name: made.streams[name][0].path for name in channels}
    assert list(paths.values()) == [f"/1.1/instrument/{dataset}" for dataset in datasets]
    links = [
        node.path
        for name in channels
        for node in made.streams[name][0].companions
        if node.path.startswith("/1.1/measurement/")
    ]
    assert len(set(links)) == len(channels)


def test_the_document_has_examples() -> None:
    assert len(list(rows())) >= 5
