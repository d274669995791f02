"""A BLISS shell without a terminal; runs in the environment of BLISS, not in that of the tests.

Every line of standard input is what a user types, as a JSON string, and runs in the namespace
that the BLISS shell gives its users. Every line of standard output is the answer, as JSON: the
error, or the value; and for a scan all that BLISS itself returns for it, its arrays in a
``.npz`` file. Whatever BLISS prints goes to standard error.

Usage: shell.py SESSION FOLDER
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import numpy as np  # noqa: E402 - standard output is kept for the answers first
from bliss.config import static  # noqa: E402
from bliss.scanning.scan import Scan  # noqa: E402
from bliss.shell import standard  # noqa: E402
from blissdata.streams.base import Stream  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402


def scan_as_returned(scan: Scan, folder: Path) -> dict[str, Any]:
    """What a user of BLISS gets for a finished scan: its values, its info, its place."""
    values = scan.get_data()
    arrays, channels = {}, {}
    for name, stream in scan.streams.items():
        # BLISS would read points that Redis has dropped back from our own file, and compare
        # that with itself. A stream of the base class knows Redis alone, and raises.
        published = Stream.__getitem__(stream, slice(None))
        points = values[name]
        if isinstance(points, np.ndarray):
            arrays[name] = points
        else:  # the points differ in shape
            arrays[name] = np.concatenate(points)
            arrays[f"{name} lengths"] = np.array([len(point) for point in points])
        channels[name] = {
            "published": len(published),
            "data_path": stream.info.get("data_path"),
            "unit": stream.info.get("unit", scan.scan_info["channels"][name].get("unit")),
        }
    arrays_file = folder / f"{scan.scan_number}.npz"
    np.savez(arrays_file, **arrays)
    return {
        "key": scan._scan_data.key,
        "number": int(scan.scan_info["scan_nb"]),
        "name": scan.name,
        "state": scan.state.name,
        "info": scan.scan_info,
        "channels": channels,
        "arrays": str(arrays_file),
    }


def answer(line: str, namespace: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one line: an expression gives its value, a statement None."""
    try:
        try:
            code = compile(line, "<typed>", "eval")
        except SyntaxError:
            exec(compile(line, "<typed>", "exec"), namespace)  # noqa: S102 - a shell
            return {"value": None}
        value = eval(code, namespace)  # noqa: S307 - a shell
        if isinstance(value, Scan):
            return {"scan": scan_as_returned(value, folder)}
    except Exception as error:  # noqa: BLE001 - the shell goes on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    if isinstance(value, int) and type(value) not in {int, bool}:
        return {"value": str(value)}  # a Tango state: JSON would see the number of it
    return {"value": value}


def main(session_name: str, folder: Path) -> None:
    """Set the session up as the BLISS shell does, say so, then answer line by line."""
    namespace: dict[str, Any] = {"__name__": "__main__", **vars(standard)}
    session = static.get_config().get(session_name)
    session.setup(namespace)
    print(json.dumps({"value": session.name}), file=ANSWERS)
    for line in FileObject(sys.stdin.fileno(), "r", close=False):
        result = answer(json.loads(line), namespace, folder)
        print(json.dumps(result, default=str), file=ANSWERS)
    session.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
