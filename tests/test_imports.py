"""What the documents say can be imported is there, for Python and for type checkers."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from lazynuma import engine

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def documented() -> list[str]:
    """Return each import of lazynuma that a document shows, as a statement."""
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    lines = re.findall(r"^ *(from lazynuma[\w.]* import .*\w)$", text, re.M)
    # "`run_study(..)` from `lazynuma.engine.run`", in a sentence.
    said = re.findall(r"`(\w+)\([^`]*\)`\s+from\s+`(lazynuma[\w.]*)`", text)
    return [*lines, *(f"from {where} import {name}" for name, where in said)]


@pytest.mark.parametrize("line", documented())
def test_what_a_document_imports_is_there(line):
    exec(line, {})


def test_documents_show_imports():
    assert "from lazynuma.engine.study import SUMMARY" in documented()
    assert "from lazynuma.engine.run import run_study" in documented()


def test_type_checkers_see_the_names_that_load_lazily():
    tree = ast.parse(Path(engine.__file__).read_text())
    (block,) = [
        one
        for one in tree.body
        if isinstance(one, ast.If) and isinstance(one.test, ast.Name)
    ]
    seen = {
        alias.asname: "." * one.level + one.module
        for one in block.body
        for alias in one.names
    }
    assert seen == engine._WHERE


@pytest.mark.parametrize("name", engine.__all__)
def test_a_name_is_what_its_module_has(name):
    module = importlib.import_module(engine._WHERE[name], engine.__name__)
    assert getattr(engine, name) is getattr(module, name)
    assert name in dir(engine)


def test_an_unknown_name_is_refused():
    with pytest.raises(ImportError, match="Simulaton"):
        from lazynuma.engine import Simulaton  # noqa: F401


def test_no_name_is_that_of_a_file_or_folder():
    """A module that is imported takes its name in the package, whatever had it."""
    root = Path(engine.__file__).parent
    inside = {path.stem for path in root.iterdir()}
    assert not inside & set(engine.__all__)
