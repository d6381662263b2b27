"""What the documents show of reading files works, in their order, on real files."""

import re
import shlex
from pathlib import Path

import pytest

from lazynuma.scenarios.cli import commands

ROOT = Path(__file__).parents[1]
#: What the documents show, and what is soon done.
SMALL = {"16GiB": "256MiB", "8GiB": "128MiB"}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a document in a language."""
    text = (ROOT / page).read_text()
    return [block for name, block in _BLOCK.findall(text) if name == language]


def small(text: str) -> str:
    for size, less in SMALL.items():
        text = text.replace(size, less)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder in which the commands of docs/analysis.md have been run."""
    path = tmp_path_factory.mktemp("analysis")
    (toml,) = blocks("docs/analysis.md", "toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        Path("sweep.toml").write_text(small(toml))
        for line in "".join(blocks("docs/analysis.md", "sh")).splitlines():
            name, *arguments = shlex.split(small(line))
            assert name == "lazynuma"
            assert commands.main(arguments) == 0, line
        run = "run mechanisms --set memory=128MiB --set mechanisms=none,hinting"
        for line in (
            f"{run} --set thp=always --set snapshots=0.001 -o snapshots.h5",
            f"replay {ROOT}/tests/linux/linux-6.1/basic-thp-fault.mm -o runs.h5",
        ):
            assert commands.main(shlex.split(line)) == 0, line
    return path


@pytest.fixture
def here(folder, monkeypatch):
    """Be in that folder, with a matplotlib that draws to files alone."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    pytest.importorskip("matplotlib").use("agg")
    return folder


def test_snippets_of_analysis_lead_to_figures(here):
    names: dict = {}
    for code in blocks("docs/analysis.md", "python"):
        exec(compile(code, "docs/analysis.md", "exec"), names)
    for figure in ("pages.svg", "memory.svg"):
        assert "<svg" in (here / figure).read_text()
    assert names["mean"].dims == ("memory", "mechanism")
    assert (names["mean"].sel(mechanism="none") == 1).all()
    assert (names["low"] <= names["high"]).all()
    assert names["pages"].sum("node").values[-1] > 0


def test_snippets_of_the_readme_read_the_file(here, capsys):
    (code,) = [one for one in blocks("README.md", "python") if "open_run" in one]
    exec(compile(code, "README.md", "exec"), {})
    assert "hinting" in capsys.readouterr().out


def test_snippets_of_the_format_read_their_groups(here):
    names: dict = {}
    snippets = [one for one in blocks("docs/format.md", "python") if "open_run" in one]
    assert len(snippets) == 4
    for code in snippets:
        file = "runs.h5" if "runs" in code else "snapshots.h5"
        exec(compile(code.replace("FILE.h5", file), "docs/format.md", "exec"), names)
    assert names["summary"].run_time_ns.sel(mechanism="hinting") > 0
    assert names["traffic"].dims == ("cpu_node", "node")
    assert names["huge"].sum() > 0
    assert names["pages"].sum() > 0
