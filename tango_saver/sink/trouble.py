"""HDF5's exceptions as our errors."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from tango_saver.errors import DatasetError, SinkError, TargetAwayError, TargetUnusableError

_ERRNO = re.compile(r"errno = (\d+)")
_ADVICE = {
    errno.ENOSPC: "Free space on its file system; the scan goes on then",
    errno.EDQUOT: "Free space in the quota; the scan goes on then",
    errno.EROFS: "Mount its file system writable; the scan goes on then",
    errno.EACCES: "Give the saver's user the right to write there",
    errno.EPERM: "Give the saver's user the right to write there",
    errno.EIO: "Check the disk or the network file system",
    errno.ESTALE: "Check the network file system",
    errno.ENOTDIR: "Choose another folder: a part of the path is a file",
    errno.EISDIR: "Choose another file name: this is a folder",
    errno.EMFILE: "Allow the saver more open files (ulimit -n)",
}
_FOR_GOOD = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
"""What no waiting changes."""
HDF5_ERRORS = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError)
"""What h5py and numpy raise."""


def system_errno(error: BaseException) -> int:
    """Number of the system's error behind an exception of h5py, 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    numbers = [int(number) for number in _ERRNO.findall(str(error))]
    return next((number for number in numbers if number), 0)


def unusable(path: Path, error: BaseException, doing: str) -> TargetUnusableError:
    """The target cannot be used, for a reason of the system or of HDF5."""
    number = system_errno(error)
    reason = os.strerror(number) if number else first_line(error)
    kind = TargetAwayError if number and number not in _FOR_GOOD else TargetUnusableError
    return kind(
        f"{path} cannot be {doing}: {reason}",
        advice=_ADVICE.get(number, "Move the file away if it is damaged; a new one is made"),
    )


class dataset_trouble:  # noqa: N801 - reads as the statement that it is
    """Errors of the system cost the file, all others the dataset or channel alone.

    A class, because it is entered for every batch of points.
    """

    __slots__ = ("_channel", "_node", "_path")

    def __init__(self, path: Path, node: str, channel: str = "") -> None:
        self._path, self._node, self._channel = path, node, channel

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if error is None or isinstance(error, SinkError) or not isinstance(error, HDF5_ERRORS):
            return
        if system_errno(error):
            raise unusable(self._path, error, "written") from error
        raise DatasetError(
            f"{self._node} in {self._path} cannot be written: {first_line(error)}",
            channel=self._channel,
            advice=(
                "The other channels are saved; check the published data type and shape"
                if self._channel
                else "The rest of the scan is saved"
            ),
        ) from error


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]
