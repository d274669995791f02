"""What had to be left aside in a document, and the tolerant access that notes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

Part = TypeVar("Part")

MOST_WARNINGS = 50
"""A scan with ten thousand broken channels shall not flood its report."""

_WORDS: Mapping[type, str] = {
    str: "a text",
    dict: "an object",
    list: "a list",
    int: "a whole number",
}


class Notes:
    """Collects one sentence for each part of a document that could not be used."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._n_more = 0

    def add(self, sentence: str) -> None:
        """Note a sentence; beyond MOST_WARNINGS they are only counted."""
        if len(self._sentences) < MOST_WARNINGS:
            self._sentences.append(sentence)
        else:
            self._n_more += 1

    def part(
        self, parent: Mapping[str, Any], name: str, kind: type[Part], default: Part, *, path: str
    ) -> Part:
        """The field ``name`` of a JSON object if it is of the given kind.

        Null and the empty text mean absent, as publishers write them for what they do not
        use. Anything else of another type is noted with its path and left aside.
        """
        value = parent.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self.add(f"{path} was left aside: it is not {_WORDS[kind]}")
        return default

    def texts(self, parent: Mapping[str, Any], name: str, *, path: str) -> tuple[str, ...]:
        """The texts of a list, each once; other items are noted and left aside."""
        items = self.part(parent, name, list, [], path=path)
        texts = [item for item in items if isinstance(item, str)]
        if len(texts) < len(items):
            self.add(f"{path} was used without the items that are not texts")
        return tuple(dict.fromkeys(texts))

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences, in the order of the document."""
        if not self._n_more:
            return tuple(self._sentences)
        return (*self._sentences, f"{self._n_more} more parts of the document were left aside")
