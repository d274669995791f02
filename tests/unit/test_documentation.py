"""The documents are true: made from the code, or compared with it."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tango_saver.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "resources" / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def commands_in(text: str) -> Iterator[list[str]]:
    """Every ``tango-saver ...`` that a document tells its reader to type."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\||;", line.partition(" #")[0]):
                words = shlex.split(part)
                if words and words[0].endswith("tango-saver"):
                    yield words[1:]


def test_reference_is_made_from_the_code() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)

    again = "run python resources/docs/make_reference.py"
    assert (DOCS / "reference.md").read_text() == maker.reference(), again


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in link:
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_that_documents_show_exist_with_their_options(document: Path) -> None:
    group: Any = typer.main.get_command(app)
    for words in commands_in(document.read_text()):
        if words[0].startswith("--"):
            continue
        command = group.commands[words[0]]
        options = {
            name
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in words[1:] if word.startswith("-")} <= options, words
