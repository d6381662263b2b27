"""The tutorial, the reference of the doors, and both examples: all of it works."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import lazynuma
from lazynuma import engine
from lazynuma.engine.doors.generator import Access
from lazynuma.engine.simulation import Simulation
from lazynuma.kernels.placement.asked import Cold, Fault, Touch
from lazynuma.scenarios.cli import commands

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = "own_policy", "own_daemon"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def made_page(text):
    """Return what docs/doors.py makes of the page's text."""
    spec = importlib.util.spec_from_file_location("docs_doors", DOCS / "doors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page(text)


def blocks(language):
    text = (DOCS / "tutorial.md").read_text()
    return [block for name, block in _BLOCK.findall(text) if name == language]


def test_the_reference_is_what_the_code_says():
    text = (DOCS / "doors.md").read_text()
    assert made_page(text) == text, "run python docs/doors.py"


def test_the_reference_names_every_argument_and_call():
    """What is listed is found by another way than the page's."""
    text = (DOCS / "doors.md").read_text()
    for kind in (Fault, Touch, Cold):
        assert all(f"| `{one.name.lower()}` |" in text for one in kind), kind
    assert all(re.search(rf"^{name} ", text, re.MULTILINE) for name in Access._fields)
    doors = (".doors.", ".daemons.", ".workloads.")
    public = [name for name, at in engine._WHERE.items() if at.startswith(doors)]
    assert len(public) > 20
    assert [name for name in public if f"### `{name}" not in text] == []
    calls = [
        name
        for name in dir(Simulation)
        if ".calls.bulk" in str(getattr(getattr(Simulation, name), "__module__", ""))
    ]
    assert len(calls) > 10
    missing = [name for name in calls if f"### `simulation.{name}(" not in text]
    assert missing == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_short_and_run(name):
    path = DOCS / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) <= 40
    rows = lazynuma.run(str(path), {"memory": "64MiB", "count": 3_000_000})
    last = rows[-1]
    assert last["pages_moved"] > 0 == rows[0]["pages_moved"]
    assert last["local_fraction"] > rows[0]["local_fraction"]


def test_the_tutorial_leads_from_its_file_to_its_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    *parts, figure = blocks("python")
    runs = [one for text in blocks("sh")[1:] for one in text.splitlines()]
    assert (
        len(parts) == 3
        and [one.split()[:3] for one in runs] == [["lazynuma", "run", "./mine.py"]] * 2
    )
    small = ["--set", "memory=64MiB", "--set", "seconds=2"]
    path = Path("mine.py")
    for i, run in ((1, runs[0]), (3, runs[1])):
        path.write_text("\n\n".join(parts[:i]))
        assert commands.main([*run.split()[1:], *small]) == 0
    tree = engine.open_run("mine.h5", ["summary"])["summary"].dataset
    assert list(tree.way.values) == ["nothing", "linux", "second", "daemon"]
    assert (tree.accesses > 0).all() and np.isfinite(tree.local_fraction).all()
    pytest.importorskip("matplotlib").use("agg")
    exec(compile(figure, "figure", "exec"), {})
    assert Path("mine.svg").stat().st_size > 1000
