"""Scans that share a file in a worker: greenlets that wait for native threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

WORKER = """
    import sys
    from pathlib import Path
    import gevent
    import h5py
    import numpy as np
    sys.path.insert(0, {tests!r})
    from file.sink_plans import plan_of, stream
    from tango_saver.engine.cooperative import CooperativeExecutor
    from tango_saver.model.records import FixedPoints
    from tango_saver.sink.file import TargetFile

    path = Path({path!r})
    file = TargetFile.open(path, executor=CooperativeExecutor(2))
    SIZES = (1, 30, 200, 7, 64)

    def spectra(entry, first, n):
        numbers = np.arange(first, first + n)[:, None] * (entry + 1) + np.arange(2048)
        return numbers.astype("<u4")

    def save(entry):
        name = f"{{entry + 1}}.1"
        specs = [
            stream(channel, "<u4", (2048,), (64, 2048), companions=()) for channel in "ab"
        ]
        specs = [
            type(spec)(f"/{{name}}/{{spec.channel}}", spec.channel, spec.kind, spec.dtype,
                       spec.shape, spec.storage)
            for spec in specs
        ]
        plan = plan_of(path, *specs, entry=name)
        scan = file.begin(plan)
        first = 0
        for size in SIZES * 4:
            for channel in "ab":
                scan.append(channel, first, FixedPoints(spectra(entry, first, size)))
            first += size
            gevent.sleep(0)
        scan.finish(plan)
        return first

    def flush():
        while True:
            gevent.sleep(0.002)
            file.flush()

    flusher = gevent.spawn(flush)
    scans = [gevent.spawn(save, entry) for entry in range(4)]
    gevent.joinall(scans, raise_error=True)
    flusher.kill()
    file.close()
    with h5py.File(path) as opened:
        for entry, scan in enumerate(scans):
            for channel in "ab":
                found = opened[f"{{entry + 1}}.1/{{channel}}"][()]
                assert (found == spectra(entry, 0, scan.value)).all()
    print("equal")
"""


def test_flushes_between_the_appends_of_other_scans_change_nothing(tmp_path: Path) -> None:
    code = WORKER.format(tests=str(Path(__file__).parent.parent), path=str(tmp_path / "data.h5"))
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout == "equal\n", ended.stderr
