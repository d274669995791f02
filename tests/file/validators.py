"""What nxcheck and punx find in our files and in those of the classic writer.

    PYTHONPATH=tests python -m file.validators --punx PROGRAM > resources/docs/nexus_validation.md

saves every recording that has a golden file, runs both programs over the files of both, and prints
what they found. punx needs Qt and is better kept in an environment of its own.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import h5py
from saving import RunningSaver
from server.test_images import WITH_IMAGES
from server.test_recordings import SAVED, golden_files, saved_scans

from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.settings import SaverSettings

_TESTS = Path(__file__).parents[1]
_RECORDINGS = _TESTS.parent / "resources" / "recordings" / "bliss2"
_TIMEOUT_S = 900.0
_TERMINAL_CODES = re.compile(r"\x1b\[[\d;]*m")
_COLOR = re.compile(r"\x1b\[38;([\d;]+)m")
_SEVERITY_OF_COLOR = {"5;1": "error", "2;255;165;0": "warning"}
_NXCHECK_PLACE = re.compile(r"\s*(NX\w+|Field|Group|Link): (?P<path>/\S*)")
_PUNX_ROW = re.compile(r"^(?P<path>/\S*)\s+(?P<status>ERROR|WARN|NOTE)\s+(?P<fact>.+)$")
_PARTICULAR = re.compile(r'"[^"]*"|/\S+')
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence of a validator."""

    severity: str
    """Of SEVERITIES."""
    path: str
    """The object that it is about."""
    fact: str

    @property
    def kind(self) -> str:
        """Alike for all objects that have the same flaw."""
        return _PARTICULAR.sub("…", self.fact)


Validator = Callable[[Path], list[Finding]]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(f"{command[0]} says nothing: {done.stderr[-500:]}")
    return done.stdout


def nxcheck(file: Path) -> list[Finding]:
    """Findings of the program nxcheck of nexusformat, in its own words."""
    program = str(Path(sys.executable).parent / "nxcheck")
    return nxcheck_findings(_output([program, str(file)]))


def nxcheck_findings(output: str) -> list[Finding]:
    """The findings in what nxcheck prints: they stand indented below the object's path."""
    found: list[Finding] = []
    path = "/"
    total = Counter[str]()
    for line in output.splitlines():
        text = _TERMINAL_CODES.sub("", line)
        place = _NXCHECK_PLACE.fullmatch(text)
        if place:
            path = place["path"]
        elif counted := re.fullmatch(r"Total number of (error|warning)s: (\d+)", text):
            total[counted[1]] = int(counted[2])
        elif color := _COLOR.search(line):
            found.append(Finding(_SEVERITY_OF_COLOR[color[1]], path, text.strip()))
    counted_here = Counter(finding.severity for finding in found)
    if +counted_here != +total:
        raise RuntimeError(f"nxcheck counts {total}, found were {counted_here}")
    return found


def punx_with(program: str) -> Validator:
    """Findings of punx, of the program at this path."""

    def validate(file: Path) -> list[Finding]:
        return punx_findings(
            _output([program, "validate", "--report", "ERROR,WARN,NOTE", str(file)])
        )

    return validate


def punx_findings(output: str) -> list[Finding]:
    """The findings in what punx prints: rows of a table."""
    severities = {"ERROR": "error", "WARN": "warning", "NOTE": "note"}
    rows = (_PUNX_ROW.match(line) for line in output.splitlines())
    return [
        Finding(severities[row["status"]], row["path"], " ".join(row["fact"].split()))
        for row in rows
        if row
    ]


@dataclass(frozen=True, slots=True)
class Judged:
    """One recording and all that a validator finds in its files."""

    recording: str
    classic: tuple[Finding, ...]
    ours: tuple[Finding, ...]


def judge(
    validators: dict[str, Validator], folder: Path, recordings: Iterable[str]
) -> dict[str, list[Judged]]:
    """Save recordings below a folder and let each validator look at the files of both writers."""
    judged: dict[str, list[Judged]] = {name: [] for name in validators}
    with RedisServer(folder / "redis") as redis:
        settings = SaverSettings(
            session="*",
            redis_url=redis.url,
            state_directory=str(folder / "state"),
            publisher_timeout_s=2.0,
            disk_warning_gb=0.0,
        )
        saver = RunningSaver(settings)
        try:
            for recording in recordings:
                classic, ours = _files(saver, recording, folder / recording)
                for name, validate in validators.items():
                    judged[name].append(
                        Judged(recording, _all(validate, classic), _all(validate, ours))
                    )
        finally:
            saver.close()
    return judged


def without_links_to_scans(file: Path) -> None:
    """Validators follow links, and would find everything in the scans of a sequence twice."""
    with h5py.File(file, "a") as opened:
        for entry in opened.values():
            if "scans" in entry:
                del entry["scans"]


def _all(validate: Validator, files: Sequence[Path]) -> tuple[Finding, ...]:
    return tuple(finding for path in files for finding in validate(path))


def _files(saver: RunningSaver, recording: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of the classic writer and ours, each beside the images that they show."""
    source = _RECORDINGS / f"{recording}.json.gz"
    images = _TESTS / "file" / "files" / recording
    ours, classic = folder / "ours", folder / "classic"
    keys = replay(
        source,
        saver.settings.redis_url,
        ours,
        speed=0,
        writer="nexus",
        file="data.h5",
        images=images if images.exists() else None,
    )
    saver.reports(saved_scans(source, keys))
    if images.exists():
        shutil.copytree(images, classic)
    places = golden_files(recording)
    for place, golden in places.items():
        (classic / place).parent.mkdir(parents=True, exist_ok=True)
        data = golden.read_bytes()
        (classic / place).write_bytes(gzip.decompress(data) if golden.suffix == ".gz" else data)
        without_links_to_scans(ours / place)
    return [classic / place for place in places], [ours / place for place in places]


_HEAD = """# What validators find

Made by `tests/file/validators.py`, which saves the recordings and runs both programs over the files
of the classic writer and over ours: nxcheck of nexusformat {nexusformat}, and punx 0.3.5 with its
definitions v2018.5. Links from a sequence to its scans are left out, because both programs would
go through the scans twice. Not measured: `quick200` (200 scans that look alike), `lima2_v2` (there
is no file of the classic writer), `h5maps` and `bliss24_mapping` (the session describes the file).

Errors, warnings and notes of all recordings together, classic writer → ours:
{totals}.
In no recording is there more of any severity in our file than in the classic writer's, but for what
the first table lists: it belongs to data that only ours has. What both have, and why it stays, is
in [readers.md](readers.md#validators).

{only_ours}

Each cell is *classic* → *ours*.
"""
_ONLY_OURS = (
    ("program", "finding", "recordings", "why"),
    ("---", "---", "---", "---"),
    (
        "nxcheck",
        "error: axes do not match the rank",
        "amesh",
        (
            "a mesh that runs to and fro, as silx draws it from the positions that were reached: a "
            "signal of one dimension over two axes. The classic writer has no plot of it"
        ),
    ),
    (
        "nxcheck",
        "units, fields of NXdetector, NX_NUMBER",
        "dtypes",
        "a bool channel stopped the classic writer; ours has all channels",
    ),
    (
        "nxcheck",
        "a field of NXdetector",
        "samples, timescan_aborted",
        (
            "`samples_lengths`: without it padding and points cannot be told apart. There is one "
            "finding less elsewhere, so both have as many"
        ),
    ),
    (
        "punx",
        "NXcollection contains non-NeXus content",
        "dtypes, lima_edf, sequence",
        (
            "links of `measurement` to data that the classic writer has not: the channels behind a "
            "bool one, a table of frames, the numbers of the scans"
        ),
    ),
    (
        "punx",
        "NXcollection contains non-NeXus content",
        "metadata",
        (
            "the user's own NXcollection in scan_info, which belongs to no category: the classic "
            "writer dropped it"
        ),
    ),
    (
        "punx",
        "NXcollection contains non-NeXus content",
        "prepare_fails",
        "an empty `measurement`: readers find it in every entry",
    ),
)


def rendered(judged: dict[str, list[Judged]]) -> str:
    """The counts of each recording, and the kinds of findings that differ, as Markdown."""
    columns = [(name, severity) for name in judged for severity in SEVERITIES]
    columns = [c for c in columns if any(_count(j, c[1]) != (0, 0) for j in judged[c[0]])]
    lines = [
        "| recording | " + " | ".join(f"{name}: {severity}s" for name, severity in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in zip(*judged.values(), strict=True):
        of_validator = dict(zip(judged, row, strict=True))
        counts = (_count(of_validator[name], severity) for name, severity in columns)
        cells = " | ".join(f"{classic} → {ours}" for classic, ours in counts)
        lines.append(f"| {row[0].recording} | {cells} |")
    lines.append(f"| **all** | {' | '.join(_total(judged[c[0]], c[1]) for c in columns)} |")
    for name, recordings in judged.items():
        lines += ["", f"## Kinds of findings of {name}, all recordings together", ""]
        lines += _kinds(recordings)
    return _head(judged) + "\n" + "\n".join(lines) + "\n"


def _head(judged: dict[str, list[Judged]]) -> str:
    totals = (
        f"{name} {sum(len(one.classic) for one in recordings)} → "
        f"{sum(len(one.ours) for one in recordings)}"
        for name, recordings in judged.items()
    )
    return _HEAD.format(
        nexusformat=version("nexusformat"),
        totals=", ".join(totals),
        only_ours="\n".join(f"| {' | '.join(row)} |" for row in _ONLY_OURS),
    )


def _count(judged: Judged, severity: str) -> tuple[int, int]:
    classic, ours = (
        sum(finding.severity == severity for finding in findings)
        for findings in (judged.classic, judged.ours)
    )
    return classic, ours


def _total(recordings: Sequence[Judged], severity: str) -> str:
    counts = [_count(judged, severity) for judged in recordings]
    classic, ours = (sum(numbers) for numbers in zip(*counts, strict=True))
    return f"**{classic} → {ours}**"


def _kinds(recordings: Sequence[Judged]) -> list[str]:
    classic, ours = (
        Counter((f.severity, f.kind) for judged in recordings for f in getattr(judged, whose))
        for whose in ("classic", "ours")
    )
    kinds = sorted(classic | ours, key=lambda kind: (SEVERITIES.index(kind[0]), kind[1]))
    lines = ["| severity | finding | classic | ours |", "|---|---|---|---|"]
    lines += [f"| {k[0]} | {k[1].replace('|', '/')} | {classic[k]} | {ours[k]} |" for k in kinds]
    return lines


def main() -> None:
    """Judge all recordings and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--punx", required=True, help="path of the program")
    options = parser.parse_args()
    validators: dict[str, Validator] = {"nxcheck": nxcheck, "punx": punx_with(options.punx)}
    recordings = sorted({*SAVED, *WITH_IMAGES, "killed"} - {"quick200"})
    with tempfile.TemporaryDirectory(prefix="validators-") as folder:
        sys.stdout.write(rendered(judge(validators, Path(folder), recordings)))


if __name__ == "__main__":
    main()
