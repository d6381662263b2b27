"""The page of the command line says what the parser takes."""

import importlib.util
from pathlib import Path

import pytest

from lazynuma.scenarios.cli.commands import COMMANDS, main

ROOT = Path(__file__).parents[2]


def script(name):
    """Import a script of the documents."""
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"docs_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_all_commands_and_options():
    text = (ROOT / "docs" / "command.md").read_text()
    assert script("command").page(text) == text, "run python docs/command.py"


def test_the_page_has_every_exit_status_that_there_is():
    text = (ROOT / "docs" / "command.md").read_text()
    statuses = [line.split("|")[1].strip() for line in text.splitlines() if "|" in line]
    assert {"0", "1", "2", "75", "130", "143"} <= set(statuses)


@pytest.mark.parametrize("command", ["", *(name for name, _, _ in COMMANDS)])
def test_help_fits_on_a_screen(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3 and [line for line in lines if len(line) > 80] == []
