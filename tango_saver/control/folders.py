"""Makes folders for a session, without waiting for a file system that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tango_saver.errors import SaverError, TargetForbiddenError, TargetUnusableError
from tango_saver.sink.paths import check_folder

_PATIENCE_S = 2.0
"""A Tango client gives up after three."""


def make_folders(path: str, allowed_roots: Sequence[str]) -> None:
    """Make a folder and those above it; no error if it is there.

    Args:
        path: absolute.
        allowed_roots: folders that it must be, or lie below; empty allows every absolute path.

    Raises:
        TargetPathError: the path is relative, or outside of the roots.
        TargetUnusableError: the system refuses, or does not answer.
    """
    errors: list[SaverError] = []

    def make() -> None:
        try:
            check_folder(path, allowed_roots).mkdir(parents=True, exist_ok=True)
        except SaverError as error:
            errors.append(error)
        except PermissionError as error:
            errors.append(
                TargetForbiddenError(
                    f"the folder {path} cannot be made: {error.strerror}",
                    advice="Give the saver's user the right to write there",
                )
            )
        except OSError as error:
            errors.append(
                TargetUnusableError(
                    f"the folder {path} cannot be made: {error.strerror or error}",
                    advice="Choose another folder, or look at that file system",
                )
            )

    thread = threading.Thread(target=make, name="folders", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    if thread.is_alive():
        raise TargetUnusableError(
            f"the file system of {path} does not answer", advice="Check that it is mounted"
        )
    if errors:
        raise errors[0]
