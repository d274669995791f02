"""Seals files that are complete, and opens them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tango_saver.engine.verifying import files_in, verify
from tango_saver.errors import SinkError
from tango_saver.sink.seal import seal, unseal
from tango_saver.sink.sealed import is_sealed


@dataclass(frozen=True, slots=True)
class Sealing:
    """What became of one file."""

    file: Path
    done: str
    """In one word, empty if nothing was done."""
    reason: str = ""
    """Why nothing was done."""

    def __str__(self) -> str:
        return f"{self.file}: {self.done or f'NOT SEALED, {self.reason}'}"


def seal_files(paths: Iterable[Path], *, anyway: bool = False) -> Iterator[Sealing]:
    """Seal files, and all files with the ending .h5 in folders.

    Args:
        paths: of files and folders.
        anyway: also those that are not complete by the reports in them.
    """
    for path in files_in(paths):
        missing = [finding for verdict in verify([path]) for finding in verdict.findings]
        if is_sealed(path):
            reason = "; ".join(missing)
            yield Sealing(path, "" if reason else "sealed before", reason)
        elif missing and not anyway:
            yield Sealing(path, "", "; ".join(missing))
        else:
            try:
                seal(path)
            except SinkError as error:
                yield Sealing(path, "", str(error))
            else:
                yield Sealing(path, "sealed")


def unseal_files(paths: Iterable[Path]) -> Iterator[Sealing]:
    """Let files be written again.

    Raises:
        TargetUnusableError: the system refuses.
    """
    for path in files_in(paths):
        if is_sealed(path):
            unseal(path)
            yield Sealing(path, "unsealed")
