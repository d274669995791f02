"""What decides the form of a file besides the scan itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tango_saver.model.plan import Filter
from tango_saver.model.scan import Json

_SCHEMES: Mapping[str, Filter] = MappingProxyType(
    {
        "none": Filter.NONE,
        "gzip": Filter.GZIP,
        "byteshuffle": Filter.SHUFFLE,
        "gzip-byteshuffle": Filter.DEFLATE,
        "bitshuffle": Filter.BITSHUFFLE,
        "lz4-bitshuffle": Filter.BITSHUFFLE_LZ4,
    }
)
_LARGEST_NUMBER = 2**40
_NUMBERS = MappingProxyType({"compression_limit_nbytes": 0, "chunk_nbytes": 1, "chunk_split": 1})
"""The options that are numbers, and the least value of each."""


@dataclass(frozen=True, slots=True)
class LayoutOptions:
    """Choices of those who run the saver."""

    keepshape: bool = False
    """Channels of a mesh scan appear on its grid, slow axis first, instead of flat."""
    multivalue_positioners: bool = False
    """Several channels of one scanned axis or timer share an NXpositioner."""
    edf_pixels: bool = False
    """Frames in uncompressed EDF files are shown as pixels, too, by absolute file names."""
    checksums: bool = False
    """Points are stored with a checksum for each chunk."""


@dataclass(frozen=True, slots=True)
class ChunkOptions:
    """What the session asks of chunks and filters; None where it leaves the choice to us."""

    filter: Filter | None = None
    compression_limit: int | None = None
    """Bytes of a whole channel up to which it is not filtered."""
    chunk_bytes: int | None = None
    """Largest chunk."""
    chunk_split: int | None = None
    """Into how many parts the innermost dimension is cut."""


def chunk_options(writer_options: Mapping[str, Json]) -> tuple[ChunkOptions, tuple[str, ...]]:
    """The session's ``writer_options.chunk_options``.

    Returns:
        the options, and one sentence for each that cannot be used; it is as if not given.
    """
    asked = writer_options.get("chunk_options")
    if not isinstance(asked, Mapping):
        return ChunkOptions(), ()
    warnings: list[str] = []
    scheme = asked.get("compression_scheme")
    chosen = _SCHEMES.get(scheme.lower()) if isinstance(scheme, str) else None
    if scheme is not None and chosen is None:
        warnings.append(
            f"compression_scheme {scheme!r} is unknown, the usual one is used; "
            f"known are {', '.join(_SCHEMES)}"
        )
    numbers: dict[str, int | None] = {}
    for name, least in _NUMBERS.items():
        value = asked.get(name)
        numbers[name] = _number(value, least)
        if value is not None and numbers[name] is None:
            warnings.append(f"{name} {value!r} is no number of at least {least}, it is left aside")
    options = ChunkOptions(
        chosen,
        numbers["compression_limit_nbytes"],
        numbers["chunk_nbytes"],
        numbers["chunk_split"],
    )
    return options, tuple(warnings)


def _number(value: Json, least: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LARGEST_NUMBER:
        return value
    return None
