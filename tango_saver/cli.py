"""The command line for people: ``tango-saver demo | serve | save | verify | explain`` and more."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from tango_saver import __version__
from tango_saver.cli_device import register, status, watch
from tango_saver.errors import SaverError
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus

app = typer.Typer(
    help="Saves the scans of a BLISS session into NeXus/HDF5 files, live.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # else every line of a docstring is one of its own
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (register, status, watch):
    app.command()(command)

_DEFAULTS = SaverSettings()
_KeepShape = Annotated[bool, typer.Option(help="Channels of mesh scans appear on their grid.")]
_Multivalue = Annotated[
    bool, typer.Option(help="Channels of one scanned axis or timer share a group.")
]
_EdfPixels = Annotated[
    bool, typer.Option(help="Frames in uncompressed EDF files are shown as pixels, too.")
]
_Checksums = Annotated[bool, typer.Option(help="Points are stored with a checksum for each chunk.")]
_LISTENING = frozenset({SaverState.ON, SaverState.RUNNING})
_EXIT_ERROR = 1
_EXIT_UNFINISHED = 3


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tango-saver {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


class _Announcer:
    """Tells on stderr when the saver is ready, and every new trouble once."""

    def __init__(self, settings: SaverSettings) -> None:
        self._settings = settings
        self._ready = False
        self._told = ""

    def __call__(self, status: SaverStatus) -> None:
        if not self._ready and status.state in _LISTENING:
            self._ready = True
            self._tell(
                f"ready: saving the scans of session {self._settings.session}"
                f" from {self._settings.redis_url} (layout {self._settings.layout})"
            )
        elif status.state in {SaverState.ALARM, SaverState.FAULT}:
            trouble = status.last_error or status.status.splitlines()[0]
            if trouble != self._told:
                self._told = trouble
                self._tell(f"{status.state.value}: {trouble}")

    def _tell(self, text: str) -> None:
        print(f"tango-saver: {text}", file=sys.stderr, flush=True)


@app.command()
def serve(
    redis: Annotated[str, typer.Option(help="URL of the Redis that BLISS publishes into.")],
    session: Annotated[str, typer.Option(help="Name of the BLISS session; '*' for all.")],
    bliss: Annotated[
        str, typer.Option(help="Generation of BLISS: 1, 2, or auto to find it out.")
    ] = _DEFAULTS.bliss,
    layout: Annotated[str, typer.Option(help="Layout of the files.")] = _DEFAULTS.layout,
    keepshape: _KeepShape = _DEFAULTS.keepshape,
    multivalue_positioners: _Multivalue = _DEFAULTS.multivalue_positioners,
    edf_pixels: _EdfPixels = _DEFAULTS.edf_pixels,
    checksums: _Checksums = _DEFAULTS.checksums,
    allowed_root: Annotated[
        list[str] | None,
        typer.Option(help="Folder below which files may be written; may be repeated."),
    ] = None,
    fallback_root: Annotated[
        list[str] | None,
        typer.Option(help="Folder for scans whose own cannot be written; may be repeated."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Largest number of worker processes.")
    ] = _DEFAULTS.workers,
    publisher_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds of silence after which a scan is closed; 0 never.")
    ] = _DEFAULTS.publisher_timeout_s,
    state_directory: Annotated[
        str, typer.Option(help="Folder for what survives a restart.")
    ] = _DEFAULTS.state_directory,
    finish_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds that running scans get to finish at the end.")
    ] = 60.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Save scans without Tango, until SIGINT or SIGTERM; running scans are finished first."""
    from tango_saver.engine.conductor import Conductor  # noqa: PLC0415 - heavy; not for --help

    _log_to_stderr(verbose=verbose)
    settings = SaverSettings(
        session=session,
        redis_url=redis,
        bliss=bliss,
        layout=layout,
        keepshape=keepshape,
        multivalue_positioners=multivalue_positioners,
        edf_pixels=edf_pixels,
        checksums=checksums,
        allowed_roots=tuple(allowed_root or ()),
        fallback_roots=tuple(fallback_root or ()),
        workers=workers,
        publisher_timeout_s=publisher_timeout,
        state_directory=state_directory,
    )
    ended = _end_on_signal()
    try:
        conductor = Conductor(settings, _Announcer(settings))
    except SaverError as error:
        raise _failure(error) from error
    conductor.start()
    ended.wait()
    if not conductor.shutdown(finish_timeout):
        print(
            f"tango-saver: not all scans were finished within {finish_timeout:g} s;"
            " they go on when the saver is started again",
            file=sys.stderr,
        )
        raise typer.Exit(_EXIT_UNFINISHED)


@app.command()
def demo(
    output: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the files; without it they are removed at the end."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Pace of the scans: 1 as recorded, 0 flat out.")
    ] = 0.25,
    bliss: Annotated[str, typer.Option(help="Generation of BLISS: 1 or 2.")] = "2",
) -> None:
    """Run an embedded beamline and save its scans: needs nothing but Python."""
    from tango_saver.demo.run import run_demo  # noqa: PLC0415 - an optional extra

    try:
        succeeded = run_demo(output, speed, bliss)
    except SaverError as error:
        raise _failure(error) from error
    if not succeeded:
        raise typer.Exit(_EXIT_ERROR)


@app.command()
def explain(
    what: Annotated[str, typer.Argument(help="Key of a scan in Redis, or a recording (.json.gz).")],
    redis: Annotated[
        str, typer.Option(help="URL of the Redis that BLISS publishes into.")
    ] = _DEFAULTS.redis_url,
    layout: Annotated[str, typer.Option(help="Layout of the files.")] = _DEFAULTS.layout,
    keepshape: _KeepShape = _DEFAULTS.keepshape,
    multivalue_positioners: _Multivalue = _DEFAULTS.multivalue_positioners,
    edf_pixels: _EdfPixels = _DEFAULTS.edf_pixels,
    checksums: _Checksums = _DEFAULTS.checksums,
) -> None:
    """Say where a scan goes: which channel to which dataset, in which form, by which rule."""
    from tango_saver.engine.explain import explain as explain_scans  # noqa: PLC0415 - heavy

    settings = SaverSettings(
        redis_url=redis,
        layout=layout,
        keepshape=keepshape,
        multivalue_positioners=multivalue_positioners,
        edf_pixels=edf_pixels,
        checksums=checksums,
    )
    try:
        for text in explain_scans(what, settings):
            print(text)
    except SaverError as error:
        raise _failure(error) from error


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Files, or folders of them.")],
    redis: Annotated[
        str, typer.Option(help="Compare with this Redis, too, as far as it has the scans.")
    ] = "",
) -> None:
    """Say whether files hold all that was published: by their reports, and by Redis."""
    from tango_saver.engine.verifying import verify as verify_files  # noqa: PLC0415 - heavy

    complete = True
    try:
        for verdict in verify_files(files, SaverSettings(redis_url=redis) if redis else None):
            print(verdict)
            complete = complete and verdict.complete
    except SaverError as error:
        raise _failure(error) from error
    if not complete:
        raise typer.Exit(_EXIT_ERROR)


@app.command()
def seal(
    files: Annotated[list[Path], typer.Argument(help="Files, or folders of them.")],
    anyway: Annotated[bool, typer.Option(help="Also files that are not complete.")] = False,
    undo: Annotated[bool, typer.Option(help="Let sealed files be written again.")] = False,
) -> None:
    """Make complete files read-only, with a digest that shows verify every later change."""
    from tango_saver.engine import sealing  # noqa: PLC0415 - heavy

    sealed = True
    try:
        done = sealing.unseal_files(files) if undo else sealing.seal_files(files, anyway=anyway)
        for one in done:
            print(one)
            sealed = sealed and bool(one.done)
    except SaverError as error:
        raise _failure(error) from error
    if not sealed:
        raise typer.Exit(_EXIT_ERROR)


@app.command()
def save(
    key: Annotated[
        str, typer.Argument(help="Key of the scan; without it, the scans in Redis are listed.")
    ] = "",
    to: Annotated[str, typer.Option(help="File; without it, the one that BLISS named.")] = "",
    redis: Annotated[
        str, typer.Option(help="URL of the Redis that BLISS publishes into.")
    ] = _DEFAULTS.redis_url,
    session: Annotated[str, typer.Option(help="List the scans of this session only.")] = "*",
    layout: Annotated[str, typer.Option(help="Layout of the file.")] = _DEFAULTS.layout,
) -> None:
    """Save a scan that is still in Redis, unless the file has all of it."""
    from tango_saver.engine import saving_again  # noqa: PLC0415 - heavy

    settings = SaverSettings(session=session, redis_url=redis, layout=layout)
    try:
        if not key:
            for scan in saving_again.savable_scans(settings):
                print(f"{scan.key}  {scan.session}  {scan.number}_{scan.name}  {scan.target}")
            return
        saved = saving_again.save_again(key, to, settings)
    except SaverError as error:
        raise _failure(error) from error
    for difference in saved.differences:
        print(f"on disk: {difference}")
    if saved.report is None:
        print("The file has all of this scan, equal to what is in Redis.")
        return
    print(
        f"{saved.report.state.value}: {saved.report.points_saved} points -> {saved.report.target}"
    )
    for sentence in filter(None, (saved.report.error, *saved.report.warnings)):
        print(f"  {sentence}")
    for verdict in saved.verdicts:
        print(verdict)
    if saved.report.error or not all(verdict.complete for verdict in saved.verdicts):
        raise typer.Exit(_EXIT_ERROR)


def _failure(error: SaverError) -> typer.Exit:
    print(f"tango-saver: {error}", file=sys.stderr)
    return typer.Exit(_EXIT_ERROR)


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def _end_on_signal() -> threading.Event:
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    return ended


def main() -> None:
    """Entry point of the console script ``tango-saver``."""
    app()
