"""Writes ``reference.md``: all that the devices have, taken from the code.

Usage: python resources/docs/make_reference.py
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import tango

from tango_saver.control import device
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.control.metrics import BUILD, BUILD_DOC, MEASURES, STATE, STATE_DOC
from tango_saver.errors import SaverError
from tango_saver.model import status

FILE = Path(__file__).with_name("reference.md")
CLASSES = (device.TangoSaver, NexusWriter, BlissWriter)
EVERY_CLASS = "all"
_AT_INIT = " Takes effect at Init."
_HEAD = """# Reference

Made from the code by `python resources/docs/make_reference.py`; a test compares the two.
`all` are `TangoSaver` and the devices that BLISS calls, `NexusWriter` and `BlissWriter`. What the
words mean is in [explanation.md](explanation.md).

"""


def reference() -> str:
    """The whole document."""
    return _HEAD + "\n".join(
        (
            *section("Properties", "None is mandatory. Takes effect at `Init`.", properties()),
            *section("Commands", "`Init`, `State` and `Status` are those of Tango.", commands()),
            *section("Attributes", "All send change and archive events.", attributes()),
            *section("States", "Of `TangoSaver`. The writers that BLISS calls show `ON` or"
                     " `RUNNING` for `ALARM`, and `OFF` for `MOVING`.", states()),
            *section("Errors", "What went wrong, as logs, reports and `Status` say it. The words"
                     " name the scan and the channel, and what to do.", errors()),
            *section("Metrics", "On `metrics_port`, by device and session.", metrics()),
        )
    )  # fmt: skip


def section(title: str, lead: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A heading, a sentence, and a table whose first row is its head."""
    head, *others = rows
    yield from (f"## {title}", "", lead, "")
    for row in (head, ["---"] * len(head), *others):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def properties() -> Iterator[Sequence[str]]:
    """Name, type, default, meaning; of the writers where they differ from ``TangoSaver``."""
    yield "class", "property", "type", "default", "meaning"
    known: dict[str, list[object]] = {}
    for owner in CLASSES:
        for name, described in owner.TangoClassClass.device_property_list.items():
            kind, doc, default, _ = described
            if known.get(name) == described:
                continue
            shown = EVERY_CLASS if name not in known and owner is CLASSES[0] else owner.__name__
            known.setdefault(name, described)
            yield shown, f"`{name}`", type_name(kind), value_text(default), meaning(doc)


def commands() -> Iterator[Sequence[str]]:
    """What they take and answer."""
    yield "class", "command", "takes", "answers"
    for owner, name, described in of_classes("cmd_list"):
        (takes, takes_doc), (answers, answers_doc), *_ = described
        yield owner, f"`{name}`", argument(takes, takes_doc), argument(answers, answers_doc)


def attributes() -> Iterator[Sequence[str]]:
    """Type, unit, who is to look at it."""
    yield "class", "attribute", "type", "unit", "for", "meaning"
    for owner, name, described in of_classes("attr_list"):
        told = described._kwargs  # noqa: SLF001 - PyTango shows it nowhere else
        spectrum = " list" if described.attr_format == tango.AttrDataFormat.SPECTRUM else ""
        writable = "" if described.attr_write == tango.AttrWriteType.READ else ", writable"
        expert = described.display_level == tango.DispLevel.EXPERT
        yield (
            owner, f"`{name}`", f"{type_name(described.attr_type)}{spectrum}{writable}",
            told.get("unit", ""), "experts" if expert else "everybody", meaning(told["doc"]),
        )  # fmt: skip


def states() -> Iterator[Sequence[str]]:
    """From what stands below each member."""
    yield "state", "meaning"
    body = ast.parse(inspect.getsource(status.SaverState)).body[0].body
    for member, doc in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(doc, ast.Expr):
            yield f"`{ast.literal_eval(member.value)}`", meaning(ast.literal_eval(doc.value))


def errors(root: type[SaverError] = SaverError, above: str = "") -> Iterator[Sequence[str]]:
    """The tree, each below what it is a kind of."""
    if not above:
        yield "error", "a kind of", "meaning"
    for kind in sorted(root.__subclasses__(), key=lambda kind: kind.__name__):
        if kind.__module__ != SaverError.__module__:
            continue  # private to a module, never shown
        doc = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
        yield f"`{kind.__name__}`", f"`{root.__name__}`", meaning(doc)
        yield from errors(kind, root.__name__)


def metrics() -> Iterator[Sequence[str]]:
    """Names as Prometheus shows them."""
    yield "metric", "type", "meaning"
    for measure in MEASURES:
        kind = "counter" if measure.counts else "gauge"
        yield f"`{measure.full_name}`", kind, measure.doc
    yield f"`{STATE}`", "gauge", f"{STATE_DOC} Label `state`."
    yield f"`{BUILD}`", "gauge", BUILD_DOC


def of_classes(kind: str) -> Iterator[tuple[str, str, object]]:
    """What ``TangoSaver`` has, then what only the writers have."""
    common = getattr(CLASSES[0].TangoClassClass, kind)
    for name, described in common.items():
        yield EVERY_CLASS, name, described
    for owner in CLASSES[1:]:
        for name, described in getattr(owner.TangoClassClass, kind).items():
            if name not in common or described != common[name]:
                yield owner.__name__, name, described


def argument(kind: tango.CmdArgType, doc: str) -> str:
    """What a command takes or answers; of one that takes nothing, what it does."""
    if kind != tango.CmdArgType.DevVoid:
        return f"{type_name(kind)}: {meaning(doc)}"
    return "" if doc.endswith("(DevVoid)") else f"nothing. {meaning(doc)}"


def type_name(kind: tango.CmdArgType) -> str:
    """As Jive shows it."""
    return str(kind)


def value_text(value: object) -> str:
    """A default value."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(value) or "empty"
    return str(value).lower() if isinstance(value, bool) else str(value) or "empty"


def meaning(doc: str) -> str:
    """On one line."""
    return " ".join(doc.removesuffix(_AT_INIT).split())


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
