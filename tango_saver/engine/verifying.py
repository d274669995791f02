"""Verifies files: against the reports in them, and against Redis while it has the scans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tango_saver.engine.patient_reader import PatientReader
from tango_saver.errors import SaverError, ScanNotFoundError, TargetUnusableError
from tango_saver.model.records import ChannelFailed, GapFound, PointsArrived, ScanClosed
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.completeness import FinishedFile, finished_file
from tango_saver.sink.seal import changes
from tango_saver.sink.sealed import is_sealed, sealed_in
from tango_saver.sink.stored_report import StoredReport

_SILENCE_S = 5.0
"""How long the next points of a scan may take."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one entry, or of a file that cannot be read."""

    file: Path
    entry: str = ""
    findings: tuple[str, ...] = ()
    """What is missing or different, one sentence each; empty if all is there."""
    notes: tuple[str, ...] = ()
    """What could not be verified, and why."""

    @property
    def complete(self) -> bool:
        """Nothing is missing as far as it could be verified."""
        return not self.findings

    def __str__(self) -> str:
        where = f"{self.file}::/{self.entry}" if self.entry else str(self.file)
        lines = [f"{where}: {'complete' if self.complete else 'NOT COMPLETE'}"]
        return "\n".join([*lines, *(f"  {text}" for text in (*self.findings, *self.notes))])


def verify(paths: Iterable[Path], settings: SaverSettings | None = None) -> Iterator[Verdict]:
    """Verify files, and all files with the ending .h5 in folders, gone ones with a seal too.

    Args:
        paths: of files and folders.
        settings: of the Redis that the scans came from; None compares with the reports alone.
    """
    for file in files_in(paths):
        if is_sealed(file):
            yield from _verify_seal(file)
        if file.exists() or not is_sealed(file):
            yield from _verify_file(file, settings)


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Files, and those with the ending .h5 or a seal in folders."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        yield from sorted({*path.rglob("*.h5"), *sealed_in(path)})


def _verify_seal(path: Path) -> Iterator[Verdict]:
    """What is wrong with a sealed file; nothing if it is as it was."""
    findings = changes(path)
    if findings:
        yield Verdict(path, findings=tuple(findings))


def _verify_file(path: Path, settings: SaverSettings | None) -> Iterator[Verdict]:
    try:
        with finished_file(path) as file:
            for entry in file.entries():
                yield _verify_entry(file, entry, settings)
    except TargetUnusableError as error:
        yield Verdict(path, findings=(str(error),))


def _verify_entry(file: FinishedFile, entry: str, settings: SaverSettings | None) -> Verdict:
    report = file.report(entry)
    if report is None:
        note = "it has no report: another program saved it, or it is still being saved"
        return Verdict(file.path, entry, notes=(note,))
    findings = [] if report.finished else ["it has no end: its saving was interrupted"]
    findings += file.contradictions(report)
    notes: list[str] = []
    if settings is not None:
        try:
            findings += differences_from_redis(file, report, settings)
        except ScanNotFoundError:
            notes.append("Redis does not have the scan any more; compared with its report alone")
        except SaverError as error:
            notes.append(f"not compared with Redis: {error}")
    return Verdict(file.path, entry, tuple(dict.fromkeys(findings)), tuple(notes))


def differences_from_redis(
    file: FinishedFile, report: StoredReport, settings: SaverSettings
) -> list[str]:
    """What Redis has and the file has not, one sentence per dataset; reads the whole scan.

    Raises:
        ScanNotFoundError: the scan is not in Redis any more.
        SourceError: it cannot be read.
    """
    datasets = _datasets(report)
    unequal: dict[str, int] = {}
    notes: list[str] = []
    reader = PatientReader(report.scan, settings, {})
    try:
        while reader.silent_s < _SILENCE_S:
            for record in reader.read():
                match record:
                    case PointsArrived(channel, first, points):
                        for path in datasets.get(channel, ()):
                            n_unequal = file.unequal_points(path, first, points)
                            unequal[path] = unequal.get(path, 0) + n_unequal
                    case GapFound(channel, first, stop) if channel in datasets:
                        notes.append(
                            f"{channel}: points {first} to {stop - 1} are not in Redis any more"
                        )
                    case ChannelFailed(channel, reason) if channel in datasets:
                        notes.append(f"{channel} cannot be read from Redis: {reason}")
                    case ScanClosed():
                        return _sentences(unequal)
                    case _:
                        continue
    finally:
        reader.close()
    return [*_sentences(unequal), "Redis did not give the end of the scan"]


def _datasets(report: StoredReport) -> Mapping[str, list[str]]:
    datasets: dict[str, list[str]] = {}
    for channel in report.channels:
        if channel.dataset:
            datasets.setdefault(channel.report.name, []).append(channel.dataset)
    return datasets


def _sentences(unequal: Mapping[str, int]) -> list[str]:
    return [
        f"{path}: {n_points} points differ from those in Redis"
        for path, n_points in unequal.items()
        if n_points
    ]
