"""Decodes 100,000 mutated payloads of BLISS 1 and says what became of them.

    python tests/benchmarks/fuzz_bliss1.py [NUMBER] [SEED]

The run fails if anything but a decoding error comes out, or a module is imported on the way.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bliss1_payloads import mutated, recorded_payloads

from tango_saver.errors import DocumentError
from tango_saver.source.bliss1.classes import DecodingError
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.plain import plain


def main(n_payloads: int, seed: int) -> None:
    payloads = recorded_payloads()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    modules = set(sys.modules)
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    started = time.perf_counter()
    for payload in mutated(payloads, n_payloads, seed):
        one = time.perf_counter()
        try:
            plain(decode(payload))
            outcomes["decoded"] += 1
        except (DecodingError, DocumentError) as error:
            outcomes[type(error).__name__] += 1
        slowest_s = max(slowest_s, time.perf_counter() - one)
    took_s = time.perf_counter() - started
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    imported = sorted(set(sys.modules) - modules)
    lines = (
        f"{n_payloads} mutations of {len(payloads)} payloads in {took_s:.1f} s: {dict(outcomes)}",
        f"slowest {slowest_s * 1000:.1f} ms, memory grew by {(after_kb - before_kb) / 1024:.1f} MB",
        f"modules imported: {imported or 'none'}",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if imported:
        raise SystemExit(1)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*given, *(100_000, 0)[len(given) :])
