"""Runs every fault and writes what came of it as a table.

    python tests/crash/faults.py [--table resources/docs/faults.md] [WORDS ...]

With words, only the faults whose description has all of them. Exit code 0 only if no fault cost
more than what Redis itself had no more, and later scans were saved. Needs the right to mount.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from crash import (  # noqa: E402 - found by the line above
    faults_of_files,
    faults_of_processes,
    faults_of_redis,
    faults_of_scans,
)
from crash.fault_runs import Ground, Note  # noqa: E402

GROUPS = (
    faults_of_processes.faults,
    faults_of_redis.faults,
    faults_of_files.faults,
    faults_of_scans.faults,
)
HEAD = """# What faults cost

Every line is a real run of `python tests/crash/faults.py`: a scan of four scalar channels and a
spectrum of 4096 values at 50 Hz, a real Redis, the saver with its worker processes, and the fault.
Every point in the file is compared with what was published. *Points lost* is the sum over the
channels; the only loss is of what Redis itself had no more, or never had.

`python tests/crash/kills.py --number 200` kills, in turn, a worker process and the whole server at
random instants of four loads (a step scan, MCA spectra, two scans in parallel, images by
reference). Of 200 files, 200 were equal to those of a saver left in peace: object by object, value
by value, with the entry that was in them before as it was. One had been damaged and was rebuilt.
`python tests/crash/takeovers.py` does it with two servers that share a session.
"""


def run_all(words: Sequence[str], folder: Path) -> Iterable[Note]:
    """Run faults, one after the other."""
    for group in GROUPS:
        for index, (fault, run) in enumerate(group.runs):
            if not all(word in fault for word in words):
                continue
            note = Note(group.group, fault)
            ground = Ground(folder / f"{group.group[:5].strip()}{index}", note)
            try:
                run(ground)
            except BaseException as error:  # noqa: BLE001 - pytest.fail is one; told in the table
                note.report = f"RUN FAILED: {type(error).__name__}: {error}"[:300]
                note.next_scans = "not known"
            finally:
                ground.close()
            yield note


def table(notes: Iterable[Note]) -> str:
    """The notes as Markdown."""
    lines = [HEAD]
    group = ""
    for note in notes:
        if note.group != group:
            group = note.group
            lines += [
                f"\n## {group}\n",
                "| fault | `State` | `Status` | report | points lost | next scans |",
                "|---|---|---|---|---|---|",
            ]
        lost = f"{note.n_lost}{f' ({note.reason})' if note.n_lost else ''}"
        cells = (note.fault, note.states, note.said, note.report, lost, note.next_scans)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--table", type=Path, help="file that the table is written to")
    options = parser.parse_args(arguments)
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        for note in run_all(options.words, Path(folder)):
            notes.append(note)
            sign = "ok " if note.as_it_should_be else "BAD"
            print(f"{sign} {note.fault}: lost {note.n_lost}; {note.report}", flush=True)  # noqa: T201
    if options.table is not None:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(table(notes))
    return 0 if all(note.as_it_should_be for note in notes) else 1


if __name__ == "__main__":
    sys.exit(main())
