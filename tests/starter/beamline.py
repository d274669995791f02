"""What stands on a beamline below Astor: a Tango database on MariaDB, and the Starter of a host.

All of it is Debian's; every server listens on a free port and keeps its files in a folder of the
test, so that nothing of the machine's own is touched.
"""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import tango

from tango_saver.demo.processes import ServerProcess
from tango_saver.demo.redis_server import free_port

HOST = socket.gethostname().partition(".")[0]
"""Name of this machine as Starter has it."""

_TANGO_SERVERS = Path("/usr/lib/tango")
_TABLES = Path("/usr/share/dbconfig-common/data/tango-db/install/mysql")
_NAME = "tango"
"""Of the database, of its user, and the password."""
_SOCKET = "./server.sock"
"""Below the folder of the data: whole paths of sockets may have a hundred characters only."""


def missing_packages() -> str:
    """Which of Debian's packages are not installed, and what installs them; empty if none."""
    needed = {
        "mariadb-server": shutil.which("mariadbd") and shutil.which("mariadb-install-db"),
        "mariadb-client": shutil.which("mariadb"),
        "tango-db": (_TANGO_SERVERS / "DataBaseds").exists() and _TABLES.exists(),
        "tango-starter": (_TANGO_SERVERS / "Starter").exists(),
    }
    missing = [package for package, found in needed.items() if not found]
    if not missing:
        return ""
    return f"no {', '.join(missing)}: run tests/starter/install_packages.sh as root"


class MariaDb(ServerProcess):
    """MariaDB with the empty tables of a Tango database.

    Args:
        folder: where its data go.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._data = folder / "mariadb"
        super().__init__(
            [
                "mariadbd", "--no-defaults", f"--user={getpass.getuser()}",
                f"--datadir={self._data}", f"--socket={_SOCKET}",
                f"--pid-file={folder / 'mariadb.pid'}",
                "--bind-address=127.0.0.1", f"--port={self.port}",
            ],
            folder / "mariadb.log",
        )  # fmt: skip

    def start(self) -> None:
        """Make the files of an empty MariaDB, start it, and make the tables."""
        subprocess.run(
            [
                "mariadb-install-db", "--no-defaults", f"--user={getpass.getuser()}",
                f"--datadir={self._data}", "--auth-root-authentication-method=normal",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        super().start()
        self._run(
            f"create database {_NAME};"
            f"create user '{_NAME}'@'127.0.0.1' identified by '{_NAME}';"
            f"grant all on {_NAME}.* to '{_NAME}'@'127.0.0.1'"
        )
        self._run(_TABLES.read_text(), _NAME)

    def ready(self) -> bool:
        """Whether it takes statements."""
        try:
            self._run("select 1")
        except subprocess.CalledProcessError:
            return False
        return True

    def _run(self, statements: str, *database: str) -> None:
        subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={_SOCKET}", "--user=root", *database],
            cwd=self._data,
            input=statements,
            text=True,
            check=True,
            capture_output=True,
        )


class MariaDbTangoDatabase(ServerProcess):
    """The Tango database of the institutes, ``DataBaseds`` on MariaDB.

    Args:
        mariadb: with its tables; it runs as long as this one.
        folder: where its log goes.
    """

    def __init__(self, mariadb: MariaDb, folder: Path) -> None:
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        super().__init__(
            [str(_TANGO_SERVERS / "DataBaseds"), "2", "-ORBendPoint", f"giop:tcp::{self.port}"],
            folder / "tango_database.log",
            {
                "TANGO_HOST": self.host,
                "MYSQL_HOST": f"127.0.0.1:{mariadb.port}",
                "MYSQL_USER": _NAME,
                "MYSQL_PASSWORD": _NAME,
                "MYSQL_DATABASE": _NAME,
            },
        )

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            self.client.get_info()
        except tango.DevFailed:
            return False
        return True

    @property
    def client(self) -> tango.Database:
        """A connection to it."""
        return tango.Database("127.0.0.1", self.port)


class Starter(ServerProcess):
    """The Starter of this host, looking for programs in the environment of the tests.

    Args:
        database: knows its device after this.
        folder: where its log and those of its servers go.
    """

    def __init__(self, database: MariaDbTangoDatabase, folder: Path) -> None:
        device = f"tango/admin/{HOST}"
        entry = tango.DbDevInfo()
        entry.name, entry._class, entry.server = device, "Starter", f"Starter/{HOST}"
        database.client.add_device(entry)
        database.client.put_device_property(
            device,
            {
                "StartDsPath": [str(Path(sys.executable).parent)],
                "LogFileHome": [str(folder)],
                "StartServersAtStartup": ["true"],
                "InterStartupLevelWait": ["1"],
            },
        )
        self._device = f"tango://{database.host}/{device}"
        super().__init__(
            [str(_TANGO_SERVERS / "Starter"), HOST],
            folder / "starter.log",
            {"TANGO_HOST": database.host},
        )

    def ready(self) -> bool:
        """Whether it takes commands."""
        try:
            self.proxy.ping()
        except tango.DevFailed:
            return False
        return True

    @property
    def proxy(self) -> tango.DeviceProxy:
        """Its device."""
        return tango.DeviceProxy(self._device)
