"""What a beamline has and the tutorial lacks: the Redis of BLISS, and scans.

Usage:
    python resources/docs/practice.py redis PORT                   a Redis server, until it is ended
    python resources/docs/practice.py scan NAME URL SESSION DATA   a recorded scan, at its own pace
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer

RECORDINGS = Path(__file__).parents[1] / "recordings" / "bliss2"


def serve(port: int) -> None:
    """Be the Redis of a beamline until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), port=port):
        signal.pause()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["redis", port]:
            serve(int(port))
        case ["scan", name, url, session, data]:
            replay(RECORDINGS / f"{name}.json.gz", url, Path(data).resolve(), session=session)
        case _:
            sys.exit(__doc__)
