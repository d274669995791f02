"""tango_saver and another writer save the same load in turn; prints figures and ratios.

    python tests/benchmarks/compare.py --blisswriter PATH/TO/blisswriter catchup catchupmca

Without ``--blisswriter`` tango_saver is measured alone. Ends with 1 if a file was not
complete or a value not equal.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from load import PRESETS, SESSION
from measure import Measured, Writer, measure

OURS = "tango_saver"
THEIRS = "blisswriter"
_SMALLER_IS_BETTER = "every ratio is ours / theirs, within one repetition"


def main() -> int:
    """Measure and print."""
    options = _options()
    writers = _writers(options)
    results: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="load-", dir=options.folder) as folder:
        for preset in options.presets:
            for repetition in range(options.repetitions):
                for writer in writers:
                    run = measure(
                        writer,
                        preset,
                        Path(folder) / "run",
                        points=options.points,
                        timeout_s=options.timeout,
                    )
                    results.append(run)
                    _print_run(repetition, run)
    _print_table(results)
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in results], indent=1))
    return 0 if all(run.complete for run in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="+", choices=sorted(set(PRESETS) - {"canary"}))
    parser.add_argument("--blisswriter", help="the program blisswriter 3, in its own environment")
    parser.add_argument(
        "--saver",
        default=shlex.join([str(Path(sys.executable).parent / "tango-saver"), "serve"]),
        help="command that takes --redis URL --session NAME (default: %(default)s)",
    )
    parser.add_argument("--only-theirs", action="store_true", help="measure blisswriter alone")
    parser.add_argument("-n", "--repetitions", type=int, default=5)
    parser.add_argument("--points", type=int, default=0, help="instead of the preset's own")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to complete files")
    parser.add_argument("--folder", type=Path, help="where data is written (default: temporary)")
    parser.add_argument("--json", type=Path, help="file for all figures of all runs")
    return parser.parse_args()


def _writers(options: argparse.Namespace) -> list[Writer]:
    saver = shlex.split(options.saver)
    ours = Writer(OURS, lambda url: [*saver, "--redis", url, "--session", SESSION])
    theirs = Writer(THEIRS, lambda url: [options.blisswriter, "run", url])
    if options.only_theirs:
        return [theirs]
    return [ours, theirs] if options.blisswriter else [ours]


def _print_run(repetition: int, run: Measured) -> None:
    figures = "  ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
    verdict = "all values equal" if not run.differences else f"DIFFERENT: {run.differences[:3]}"
    _say(f"{run.preset} {repetition + 1} {run.writer}: {figures}  {verdict}  {run.note}")


def _print_table(results: Sequence[Measured]) -> None:
    by_preset: dict[str, dict[str, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for run in results:
        by_preset[run.preset][run.writer].append(run)
    _say(f"\nmedian [min..max]; {_SMALLER_IS_BETTER}")
    for preset, by_writer in by_preset.items():
        writers = list(by_writer)
        ratio = [f"{OURS} / {THEIRS}"] if len(writers) > 1 else []
        _say(f"\n{preset}: {PRESETS[preset].about}")
        _say(_row("", *writers, *ratio))
        equal = [_equal(by_writer[writer]) for writer in writers]
        _say(_row("complete, all values equal", *equal))
        for figure in by_writer[writers[0]][0].figures:
            columns = [
                [run.figures.get(figure, float("nan")) for run in by_writer[w]] for w in writers
            ]
            cells = [_spread(column) for column in columns]
            if ratio:
                pairs = zip(*columns, strict=True)
                cells.append(_spread([a / b if b else float("nan") for a, b in pairs]))
            _say(_row(figure, *cells))


def _equal(runs: Sequence[Measured]) -> str:
    good = sum(run.complete for run in runs)
    return f"{good} of {len(runs)}"


def _spread(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.4g} [{min(values):.4g}..{max(values):.4g}]"


def _row(*cells: str) -> str:
    return "  ".join(cell.ljust(28) for cell in cells).rstrip()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
