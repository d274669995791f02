"""Pictures of the panel on a real device, for the README: ``screenshots.py [FOLDER]``.

Needs ``tango-saver[taurus,demo]``. Without a screen: ``QT_QPA_PLATFORM=offscreen``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tango

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.demo.run import recordings_folder

FOLDER = Path(__file__).parents[2] / "resources" / "screenshots"
_DEVICE = "id00/tango_saver/demo_session"
_SESSION = "demo_session"
_SIZE = (900, 660)
_TIMEOUT_S = 90.0
_LONGEST_PICTURE = 150_000
_FINISHED = (("ascan", 11), ("mca", 12), ("amesh", 13), ("loopscan_modes", 14))
_RUNNING = (
    ("amesh", 15, 0.07), ("ascan", 16, 0.03), ("plots", 17, 0.05), ("loopscan_modes", 18, 0.05)
)  # fmt: skip
"""Recording, number, and how much slower than recorded."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A session, a device and its panel."""

    application: Any
    panel: Any
    database: tango.Database
    redis_url: str
    data: Path
    pool: ThreadPoolExecutor

    def publish(self, name: str, number: int, speed: float, **options: Any) -> Future[list[str]]:
        """Publish a recording meanwhile."""
        recording = recordings_folder() / f"{name}.json.gz"
        file = options.pop("file", f"sample_{number:04d}.h5")
        return self.pool.submit(
            replay,
            recording,
            self.redis_url,
            self.data,
            speed=speed,
            session=_SESSION,
            number=number,
            file=file,
            **options,
        )

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Let the panel live until it is as wanted."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the panel shows {self.panel.view}")
            self.application.processEvents()
            time.sleep(0.01)

    def picture(self, name: str, folder: Path) -> None:
        """Take a picture of the panel."""
        deadline = time.monotonic() + 0.3
        self.wait_until(lambda: time.monotonic() > deadline)
        file = folder / f"panel_{name}.png"
        self.panel.grab().save(str(file))
        size = file.stat().st_size
        print(f"{file}: {size} bytes, {self.panel.view.state}")  # noqa: T201 - a script
        if size > _LONGEST_PICTURE:
            raise ValueError(f"{file} is too large for the README")


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """All servers, and the panel on the device."""
    data = folder / "sample"
    data.mkdir(parents=True)
    with (
        RedisServer(folder / "redis") as redis_server,
        TangoDatabase(folder) as database,
        ThreadPoolExecutor(8) as pool,
    ):
        os.environ["TANGO_HOST"] = database.host
        client = tango.Database("127.0.0.1", database.port)
        properties = {
            "session": [_SESSION],
            "redis_url": [redis_server.url],
            "state_directory": [str(folder / "state")],
            "disk_warning": ["0"],
        }
        register(client, server_instance="TangoSaver/demo", device=_DEVICE, properties=properties)
        with SaverServer(database, "demo", _DEVICE, folder):
            # Taurus reads TANGO_HOST when it is imported
            from taurus.qt.qtgui.application import TaurusApplication  # noqa: PLC0415

            from tango_saver.gui.panel import SaverPanel  # noqa: PLC0415

            application = TaurusApplication(app_name="screenshots", cmd_line_parser=None)
            panel = SaverPanel()
            panel.setModel(_DEVICE)
            panel.resize(*_SIZE)
            panel.show()
            yield Stage(application, panel, client, redis_server.url, data, pool)
            panel.setModel(None)
            panel.close()


def take(on: Stage, folder: Path) -> None:
    """Bring the device into each state and take the pictures."""
    view = on.panel
    on.wait_until(lambda: view.view.state == "ON")
    for name, number in _FINISHED:
        on.publish(name, number, 1.0)
        on.wait_until(lambda n=number: _saved(view, n) and view.view.state == "ON")
    on.picture("idle", folder)

    publishing = [on.publish(name, number, speed) for name, number, speed in _RUNNING]
    on.wait_until(lambda: _is_well_under_way(view.view.bars))
    on.picture("saving", folder)
    on.wait_until(lambda: all(future.done() for future in publishing))
    on.wait_until(lambda: _saved(view, 18) and not view.view.bars)

    on.publish("long_flat", 19, 0.0, trim=20_000)
    on.wait_until(lambda: view.view.state == "ALARM" and _saved(view, 19))
    on.picture("alarm", folder)

    on.database.put_device_property(_DEVICE, {"workers": ["many"]})
    view.buttons["Init"].click()
    on.wait_until(lambda: view.view.state == "FAULT")
    on.picture("fault", folder)


def _saved(panel: Any, number: int) -> bool:
    return any(scan.scan.startswith(f"{number}_") for scan in panel.view.files)


def _is_well_under_way(bars: Any) -> bool:
    percents = [bar.percent for bar in bars]
    return len(percents) == len(_RUNNING) and min(p or 0.0 for p in percents) > 15


def main() -> None:
    """Take all pictures into a folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="id00_") as temporary, stage(Path(temporary)) as on:
        take(on, folder.resolve())
    # Qt and Tango do not agree on the order in which they end
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
