"""Which file a scan goes to, from what its session says."""

from __future__ import annotations

import posixpath

_SEPARATE_NAME = "bliss_master"
"""Of the file of one scan, without the extension of the data file."""


def scan_target(filename: str, images_path: object, separate: object, writer: object) -> str:
    """The file that gets the scan's entries.

    With ``separate_scan_files`` every scan has a file of its own, in the folder that its images
    go to: ``images_path`` up to the first part that depends on the detector. With the writer
    ``mapping`` the session itself says what goes into which file.

    Args:
        filename: the data file of the session.
        images_path: ``/data/scan0004/{img_acq_device}_``.
        separate: ``writer_options.separate_scan_files``.
        writer: SCAN_SAVING.writer.
    """
    if separate is not True or writer == "mapping":
        return filename
    if not filename or not isinstance(images_path, str):
        return filename
    folders: list[str] = []
    for folder in images_path.split("/"):
        if "{" in folder:
            break
        folders.append(folder)
    extension = posixpath.splitext(filename)[1]
    folder = "/".join(folders).rstrip("/")
    return f"{folder}/{_SEPARATE_NAME}{extension}" if folder else filename
