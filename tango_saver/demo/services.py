"""What BLISS is to the saver, each as a service of its own, for containers.

``python -m tango_saver.demo.services redis | session``: the Redis of a beamline, and a session
that publishes recorded scans into it.
"""

from __future__ import annotations

import itertools
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.demo.run import recordings_folder

app = typer.Typer(
    help="Parts of a demonstration beamline.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _ended() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return ended


@app.command()
def redis(
    port: Annotated[int, typer.Option(help="TCP port.")] = 6379,
    public: Annotated[
        bool, typer.Option("--public", help="Other machines can connect, without a password.")
    ] = False,
) -> None:
    """Redis with its modules, prepared as Beacon does; keeps nothing. Ends with SIGTERM."""
    ended = _ended()
    with (
        tempfile.TemporaryDirectory(prefix="tango_saver_redis_") as folder,
        RedisServer(Path(folder), port=port, public=public) as server,
    ):
        typer.echo(f"Redis listens to port {server.port}")
        ended.wait()


@app.command()
def session(
    redis_url: Annotated[str, typer.Option("--redis", help="URL of a Redis as above.")],
    folder: Annotated[Path, typer.Option(help="Where BLISS has the files written.")],
    name: Annotated[str, typer.Option(help="Name of the session.")] = "demo",
    scans: Annotated[int, typer.Option(min=0, help="Number of scans; 0 for no end.")] = 0,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two scans.")] = 5.0,
    speed: Annotated[float, typer.Option(min=0, help="1 as recorded, 0 flat out.")] = 1.0,
    recording: Annotated[str, typer.Option(help="Which recorded scan.")] = "ascan",
) -> None:
    """A session that makes the same scan again and again, into one file. Ends with SIGTERM."""
    ended = _ended()
    source = recordings_folder() / f"{recording}.json.gz"
    file = f"{name}_{time.strftime('%Y%m%d_%H%M%S')}.h5"
    for number in itertools.count(1):
        replay(source, redis_url, folder, speed=speed, session=name, number=number, file=file)
        typer.echo(f"scan {number} of session {name} -> {folder / file}")
        if number == scans or ended.wait(pause):
            return


if __name__ == "__main__":
    app()
