"""A disk that is full costs the file that is written, not the process and not other files."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.sink_plans import plan_of, stream

from tango_saver.errors import TargetUnusableError
from tango_saver.model.records import FixedPoints
from tango_saver.sink.file import TargetFile
from tango_saver.sink.scan import ScanInFile

SPEC = stream("image", "<f8", (256, 256), (1, 256, 256))


def noise(index: int) -> FixedPoints:
    return FixedPoints(np.random.default_rng(index).random((1, 256, 256)))


def append_until_full(file: TargetFile, scan: ScanInFile) -> None:
    for index in itertools.count():
        scan.append("image", index, noise(index))
        if index % 10 == 9:
            file.flush()


def test_a_full_disk_is_said_before_hdf5_loses_its_bearings(small_disk: Path) -> None:
    path = small_disk / "data.h5"
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, SPEC))
    with pytest.raises(TargetUnusableError, match="No space left on device") as caught:
        append_until_full(file, scan)
    n_points = scan.lengths()["image"]
    assert "Free space" in caught.value.advice
    assert 20 < n_points < 64
    file.close()
    with h5py.File(path) as opened:
        saved = opened[SPEC.path]
        assert len(saved) >= n_points - 1
        for index in range(n_points - 1):
            np.testing.assert_array_equal(saved[index], noise(index).values[0])
    (small_disk / "filler").write_bytes(b"\0" * (8 << 20))
    with pytest.raises(TargetUnusableError, match="No space left on device"):
        TargetFile.open(small_disk / "second.h5")


def test_after_space_was_made_the_same_file_is_usable(small_disk: Path) -> None:
    path = small_disk / "data.h5"
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (10 << 20))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, SPEC))
    with pytest.raises(TargetUnusableError):
        append_until_full(file, scan)
    file.close()
    filler.unlink()
    file = TargetFile.open(path)
    second = plan_of(path, entry="2.1")
    file.begin(second).finish(second)
    assert file.entry_names() == ["1.1", "2.1"]
    file.close()


LIMITED = """
    import resource, signal, sys
    from pathlib import Path
    import h5py
    import numpy as np
    sys.path.insert(0, {tests!r})
    from file.sink_plans import plan_of, stream
    from tango_saver.errors import SinkError, TargetUnusableError
    from tango_saver.model.records import FixedPoints
    from tango_saver.sink.file import TargetFile

    # Like a quota: statvfs does not know of it, HDF5 meets it in the middle of a write.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    folder = Path({folder!r})
    rng = np.random.default_rng(0)
    for attempt in range(2):
        spec = stream("c", "<f8", (512,), (4, 512), companions=())
        path = folder / "large.h5"
        try:
            file = TargetFile.open(path)
            scan = file.begin(plan_of(path, spec, entry=f"{{attempt}}.1"))
            try:
                for index in range(10_000):
                    scan.append("c", 3 * index, FixedPoints(rng.random((3, 512))))
                    if index % {flush_every} == 0:
                        file.flush()
            finally:
                file.close()
        except TargetUnusableError as error:
            print("refused:", error)
    path = folder / "other.h5"
    file = TargetFile.open(path)
    plan = plan_of(path, stream("c"))
    scan = file.begin(plan)
    scan.append("c", 0, FixedPoints(np.arange(10.0)))
    scan.finish(plan)
    file.close()
    with h5py.File(path) as opened:
        print("saved:", opened["1.1/measurement/c"][()].sum())
"""


@pytest.mark.parametrize("limit", [300_000, 1_000_001, 5_000_000])
@pytest.mark.parametrize("flush_every", [1, 7, 100_000])
def test_an_error_in_the_middle_of_a_write_leaves_the_process_and_other_files_whole(
    tmp_path: Path, limit: int, flush_every: int
) -> None:
    code = LIMITED.format(
        tests=str(Path(__file__).parent.parent),
        folder=str(tmp_path),
        limit=limit,
        flush_every=flush_every,
    )
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("refused:") == 2
    assert "File too large" in ended.stdout
    assert "saved: 45.0" in ended.stdout
