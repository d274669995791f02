"""The names of the files that a detector writes one after the other."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tango_saver.model.scan import Json

_LONGEST_PATH = 4000
_LARGEST_FIELD = 2**31
_WIDEST_NUMBER = 20
_PRINTF = re.compile(r"%(?:(?P<percent>%)|0?(?P<width>\d{0,2})[di])")
_NUMBER_FORMAT = re.compile(r"(?:0(\d{1,2}))?d?")


class BadInfoError(Exception):
    """What is wrong with the info of a stream; ``frame_files`` makes a LayoutError of it."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names of a series of files: all the same but for one number."""

    before: str
    """Absolute, up to the number."""
    width: int | None
    """Least number of digits, filled up with zeros; None for a single file."""
    after: str = ""

    def name(self, number: int) -> str:
        """Absolute path of one file."""
        if self.width is None:
            return self.before
        return f"{self.before}{number:0{self.width}d}{self.after}"


def printf_names(pattern: str) -> FileNames:
    """Names after a pattern of printf with one whole number, ``/data/cam_%04d.h5``.

    Raises:
        BadInfoError: it is anything else.
    """
    parts: list[str] = [""]
    width, position = 0, 0
    for match in _PRINTF.finditer(pattern):
        parts[-1] += pattern[position : match.start()]
        position = match.end()
        if match["percent"]:
            parts[-1] += "%"
            continue
        padded = match[0].startswith("%0")
        if match["width"] and not padded:
            raise BadInfoError(f"{pattern[:100]!r} fills its number with blanks")
        width = int(match["width"] or 0)
        parts.append("")
    rest = pattern[position:]
    if "%" in _PRINTF.sub("", pattern) or len(parts) != 2 or width > _WIDEST_NUMBER:  # noqa: PLR2004 - before and after the number
        raise BadInfoError(f"{pattern[:100]!r} is not a file name with one whole number")
    before, after = parts[0], parts[1] + rest
    checked_path(f"{before}0{after}")
    return FileNames(before, width, after)


def template_names(folder: str, template: str, fields: Mapping[str, Json]) -> FileNames:
    """Names after a template of ``str.format`` with the field ``file_number``.

    Args:
        folder: absolute.
        template: of the name in it.
        fields: what the template may use besides, texts and whole numbers.

    Raises:
        BadInfoError: it is anything but a plain name with one ``file_number``.
    """
    parts: list[str] = [""]
    width = 0
    for literal, name, spec, conversion in _parsed(template):
        parts[-1] += literal
        if name is None:
            continue
        number = _NUMBER_FORMAT.fullmatch(spec or "")
        if conversion or number is None or int(number[1] or 0) > _WIDEST_NUMBER:
            raise BadInfoError(f"{template[:100]!r} has a format that no file name needs")
        if name == "file_number":
            width = int(number[1] or 0)
            parts.append("")
        else:
            parts[-1] += _filled(fields.get(name), int(number[1] or 0), name)
    if len(parts) != 2 or "/" in "".join(parts):  # noqa: PLR2004 - before and after the number
        raise BadInfoError(f"{template[:100]!r} is not a file name with one file_number")
    before, after = f"{folder.rstrip('/')}/{parts[0]}", parts[1]
    checked_path(f"{before}0{after}")
    return FileNames(before, width, after)


def _parsed(template: str) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    try:
        yield from string.Formatter().parse(template)
    except ValueError as error:
        raise BadInfoError(f"{template[:100]!r} is no template: {error}") from error


def _filled(value: Json, width: int, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_FIELD:
        return f"{value:0{width}d}"
    raise BadInfoError(f"the value of {name[:40]!r} is neither a text nor a number")


def checked_path(path: str) -> str:
    """The path itself, if it is absolute and leads where it says.

    Raises:
        BadInfoError: it is not.
    """
    if (
        not path.startswith("/")
        or "\0" in path
        or ".." in path.split("/")
        or len(path.encode("utf-8", "replace")) > _LONGEST_PATH
    ):
        raise BadInfoError(f"{path[:100]!r} is not an absolute path")
    return path
