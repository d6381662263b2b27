"""What ``docs/hpc.md`` tells people to type is what the program takes."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.sweep.points import read_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "hpc.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
QUOTED = re.findall(r"`(lazynuma [^`]*)`", PAGE)
TYPED = re.findall(
    r"lazynuma (?:warm|[a-z]+ [^\n`;&|>]+)", "\n".join([*BLOCKS, *QUOTED])
)


@pytest.mark.parametrize("line", TYPED)
def test_each_command_is_one(line):
    words = shlex.split(line)[1:]
    if words[-1] == "...":
        words = ["run", "mechanisms"]
    assert isinstance(commands.parser_of_all().parse_args(words), argparse.Namespace)


def test_the_sweep_of_the_page_is_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    Path("s.toml").write_text(text)
    assert len(read_sweep("s.toml").points) == 2 * 4 * 5
    block = next(one for one in BLOCKS if "--sbatch" in one)
    for line in re.findall(r"^lazynuma sweep [^>\n]*", block, re.MULTILINE):
        assert commands.main(shlex.split(line)[1:]) == 0
    out = capsys.readouterr().out
    assert "40 points of mechanisms" in out and "#SBATCH --array=0-19" in out
    assert "40 points: 0 done" in out


def test_the_page_names_no_host_and_no_place_of_ours():
    assert not re.search(r"https?://|(?<![\w.~])/(home|tmp|root|work)/", PAGE)
