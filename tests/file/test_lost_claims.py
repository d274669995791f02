"""A worker without a lease that holds, or without its claim, changes nothing in the file.

In processes of their own: what is abandoned stays open until its process ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

COMMON = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import gevent
from tango_saver.engine.lease import Lease, boot_time
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.errors import ClaimLostError
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.file import unclosed

path = Path(sys.argv[1])
lease = Lease(shared=True)
closed = []
targets = OpenTargets(SaverSettings(), ThreadPoolExecutor(1), closed.append, lease)

def write(target, name):
    with target.use() as file:
        file.add_scan("other.h5", [name])

def waits(greenlet):
    gevent.sleep(0.2)
    return not greenlet.ready()

lease.renew(boot_time() + 3600)
target, _ = targets.acquire(path)
write(target, "1.1")
def lapse():
    lease._until = boot_time() - 1
"""

LAPSED = """
before = path.read_bytes()
lapse()
writing = gevent.spawn(write, target, "2.1")
opening = gevent.spawn(targets.acquire, path.with_name("new.h5"))
assert waits(writing)
assert waits(opening)
assert path.read_bytes() == before
assert not path.with_name("new.h5").exists()
lease.renew(boot_time() + 3600)
gevent.joinall([writing, opening], raise_error=True)
assert path.with_name("new.h5").exists()
targets.release(target)
assert closed == [str(path)]
"""

LOST = """
before = path.read_bytes()
lapse()
writing = gevent.spawn(write, target, "2.1")
assert waits(writing)
targets.lose(path, ClaimLostError("somebody has taken it over"))
lease.renew(boot_time() + 3600)
writing.join()
assert isinstance(writing.exception, ClaimLostError)
target.touch()
targets.release(target)
try:
    targets.acquire(path)
    raise AssertionError("it was opened again")
except ClaimLostError:
    pass
targets.refuse_all()
assert path.read_bytes() == before
assert closed == [str(path)]
assert "taken it over" in unclosed()
"""

ENDING = """
before = path.read_bytes()
lapse()
targets.refuse_all()
assert path.read_bytes() == before
"""


@pytest.mark.parametrize(
    ("script", "entries"),
    [
        pytest.param(LAPSED, ["1.1", "2.1"], id="lapsed, then renewed"),
        pytest.param(LOST, ["1.1"], id="lost"),
        pytest.param(ENDING, ["1.1"], id="lapsed at the end of the server"),
    ],
)
def test_nothing_is_written_without_a_claim_that_holds(
    script: str, entries: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "scan.h5"
    # As a worker does, the process ends without HDF5's own farewell.
    code = f"{COMMON}{script}\nimport os\nos._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(path, "r") as file:
        assert sorted(file) == entries
