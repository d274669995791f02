"""Names of files inside a map: links and sources that a reader will follow."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from tango_saver.errors import LayoutError
from tango_saver.layout.h5map_values import shown
from tango_saver.layout.metadata import text
from tango_saver.model.scan import Json


@dataclass(frozen=True, slots=True)
class LinkedFiles:
    """Judges the names of files as seen from one file.

    Args:
        target: the file that has the links.
        allowed_roots: folders below which absolute names must lie; empty allows all.
    """

    target: str
    allowed_roots: Sequence[str] = ()

    def for_link(self, name: Json) -> str:
        """A name as it goes into a link or a virtual dataset.

        Relative to the target's folder if it lies below that, so that the folder can be
        moved; ``.`` for the target itself.

        Raises:
            LayoutError: empty, with ``..`` or NUL, or outside the allowed roots.
        """
        absolute = self.absolute(name)
        if absolute == posixpath.normpath(self.target):
            return "."
        inside = f"{posixpath.dirname(posixpath.normpath(self.target))}/"
        return absolute.removeprefix(inside)

    def absolute(self, name: Json) -> str:
        """The whole path of a file; relative names begin at the target's folder.

        Raises:
            LayoutError: as ``for_link``.
        """
        if not isinstance(name, str) or not name:
            raise LayoutError("the name of a file is missing")
        if text(name) != name:
            raise LayoutError(f"the file name {shown(name)} has characters that no file name has")
        if ".." in name.split("/"):
            raise LayoutError(f'the file name {shown(name)} has ".." in it')
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.target), name))
        if name.startswith("/") and self.allowed_roots and not self._is_allowed(path):
            roots = ", ".join(self.allowed_roots)
            raise LayoutError(f"the file {shown(name)} is outside the allowed roots {roots}")
        return path

    def _is_allowed(self, path: str) -> bool:
        return any(
            path.startswith(f"{posixpath.normpath(root).rstrip('/')}/")
            for root in self.allowed_roots
        )
