"""A run in a file: what ``--save-config`` writes is what ``run FILE.toml`` runs."""

import os
import re
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.common.toml_settings import as_typed, line_of, toml_value

SCENARIO = '''
"""Does a file say all of a run?"""

from dataclasses import dataclass, field

from lazynuma.engine import SUMMARY, Settings, Study, Thp, Uniform, Variant, machine
from lazynuma.engine.machines.choice import MachineChoice, machine_field


@dataclass(frozen=True)
class Parameters:
    pages: int = field(default=64, metadata={"min": 1, "help": "its pages"})
    names: tuple[str, ...] = ("a", "b")
    title: str = ""
    machine: MachineChoice = machine_field("2s")
    thp: Thp = Thp()


def build(parameters):
    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, parameters.pages * 4096)
        simulation.run([Uniform(task=task, region=region, count=1000)])
        return {}

    place = machine(parameters.machine.name, 1 << 30)
    variants = [
        Variant(name, place, Settings(thp=parameters.thp), steps, 1000, 64)
        for name in parameters.names
    ]
    return Study(__doc__, "name", tuple(variants), SUMMARY)
'''
NUMACTL = """\
available: 1 nodes (0)
node 0 cpus: 0 1
node 0 size: 4096 MB
node 0 free: 4000 MB
node distances:
node   0
  0:  10
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a scenario of a user, and one beside it."""
    (tmp_path / "mine.py").write_text(SCENARIO)
    (tmp_path / "kept").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return commands.main(["run", *words])


def results(path):
    """Return every dataset of a file but those that are of one run alone."""
    found = {}

    def take(name, one):
        if isinstance(one, h5py.Dataset) and not re.match("run(time)?(/|$)", name):
            found[name] = one[()]

    with h5py.File(path) as file:
        file.visititems(take)
        seeds = file.attrs["seed"]
        return found | {"seed": seeds, "costs": file.attrs["costs"]}


def written(text, name="run.toml"):
    Path(name).write_text(text)
    return name


def refused(capsys):
    """Return what was said of a refusal: one line."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.removeprefix("lazynuma: ")


# --- saved, and run again -------------------------------------------------------------


def test_a_saved_run_gives_the_same_results_from_anywhere(folder, monkeypatch, capsys):
    Path("costs.toml").write_text("[cost]\nswap_in_ns = 77000\n")
    Path("box.txt").write_text(NUMACTL)
    words = "--set=pages=128 --set=thp=always --set=cost.tlb_flush_ns=7 --seed=5"
    more = "--set=machine=box.txt --set=epoch=100ms --costs=costs.toml -o first.h5"
    saved = ["--save-config", "kept/run.toml"]
    assert run("mine.py", *words.split(), *more.split(), *saved) == 0
    assert "saved to kept/run.toml" in capsys.readouterr().err
    found = tomllib.loads(Path("kept/run.toml").read_text())
    assert found["scenario"] == "../mine.py"
    assert found["seed"] == 5 and found["output"] == "first.h5"
    assert found["set"] == {
        "cost.swap_in_ns": 77000,
        "pages": 128,
        "thp": "always",
        "cost.tlb_flush_ns": 7,
        "machine": "../box.txt",
        "epoch": "100ms",
    }
    Path("costs.toml").unlink()  # the file stands for itself
    monkeypatch.chdir(folder / "kept")
    assert run("run.toml", "-o", "second.h5") == 0
    first, second = results(folder / "first.h5"), results("second.h5")
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_options_are_saved_if_they_are_not_the_default(folder):
    words = "--seeds=3 --jobs=2 --threads=1 --dry-run --save-config=a.toml"
    assert run("mine.py", *words.split()) == 0
    found = tomllib.loads(Path("a.toml").read_text())
    wanted = {"seed": 1, "seeds": 3, "jobs": 2, "threads": 1}
    assert {key: found[key] for key in found.keys() - {"set", "version"}} == {
        "scenario": "mine.py",
        **wanted,
    }


def test_what_was_not_set_is_there_as_a_comment(folder):
    assert run("mine.py", "--set=pages=9", "--save-config=a.toml", "--dry-run") == 0
    lines = Path("a.toml").read_text().splitlines()
    assert "pages = 9" in lines and '# "thp.enabled" = "never"' in lines
    # Each comment is a setting that can be made by taking the mark away.
    text = re.sub(r"(?m)^# (?=\S+ = )", "", "\n".join(lines))
    assert run(written(text), "--dry-run") == 0


def test_a_file_is_not_replaced_unless_it_is_forced(folder, capsys):
    assert run("mine.py", "--save-config=a.toml", "--dry-run") == 0
    before = Path("a.toml").read_text()
    capsys.readouterr()
    assert run("mine.py", "--set=pages=3", "--save-config=a.toml") == 2
    assert "must not exist unless --force" in refused(capsys)
    assert Path("a.toml").read_text() == before
    assert run("mine.py", "--save-config=a.toml", "--force", "--dry-run") == 0


def test_bad_input_is_not_saved(folder, capsys):
    assert run("mine.py", "--set=pages=0", "--save-config=a.toml") == 2
    assert not Path("a.toml").exists()


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.booleans(),
    TEXT,
    st.lists(st.one_of(st.integers(0, 99), TEXT), max_size=3),
)


@given(VALUE)
def test_every_value_is_read_as_it_was_written(value):
    found = tomllib.loads(f"x = {toml_value(value)}")
    assert as_typed(found) == {"x": value}
    assert type(as_typed(found)["x"]) is type(value)


# --- read -----------------------------------------------------------------------------

FILE = """\
scenario = "mine.py"
seed = 3
uncertainty = false

[set]
pages = 32
"cost.tlb_flush_ns" = 9
"""


def test_the_command_line_counts_more_than_the_file(folder):
    name = written(FILE)
    words = ["--seed=1", "--set=pages=16", "--set=cost.swap_in_ns=5"]
    assert run(name, *words, "-o", "out.h5") == 0
    with h5py.File("out.h5") as file:
        assert file.attrs["seed"] == 1  # the default, too, if it was typed
        assert '"pages": 16' in file.attrs["parameters"]
        assert '"tlb_flush_ns": 9' in file.attrs["costs"]
        assert '"swap_in_ns": 5' in file.attrs["costs"]
        assert file.attrs["command"].startswith("lazynuma run run.toml --seed=1")


def test_a_file_of_costs_takes_the_place_of_the_costs(folder):
    Path("other.toml").write_text("[cost]\nswap_in_ns = 6\n")
    assert run(written(FILE), "--costs=other.toml", "-o", "out.h5") == 0
    with h5py.File("out.h5") as file:
        assert '"swap_in_ns": 6' in file.attrs["costs"]
        assert '"tlb_flush_ns": 9' not in file.attrs["costs"]


def test_paths_are_those_beside_the_file(folder, monkeypatch):
    Path("kept/costs.toml").write_text("[cost]\nswap_in_ns = 8\n")
    Path("kept/box.txt").write_text(NUMACTL)
    text = 'scenario = "../mine.py"\ncosts = "costs.toml"\noutput = "here.h5"\n'
    written(text + '[set]\nmachine = "box.txt"\n', "kept/run.toml")
    assert run("kept/run.toml") == 0
    with h5py.File("here.h5") as file:  # where one works
        assert '"swap_in_ns": 8' in file.attrs["costs"]
        assert file["epochs/numa_hint_faults"].shape[1] == 1


def test_options_of_a_job_may_stand_in_it(folder, capsys):
    text = 'scenario = "mine.py"\ncheckpoint_every = "10min"\nmax_time = "1h"\n'
    assert run(written(text)) == 2
    assert "--checkpoint-every must go with -o FILE.h5" in refused(capsys)
    assert run(written(text + 'output = "out.h5"\n')) == 0
    assert Path("out.h5").exists() and capsys.readouterr()
    assert run(written(text.replace("10min", "soon"))) == 2
    assert refused(capsys).startswith("run.toml, line 2: ")


def test_help_of_a_file_is_that_of_its_scenario(folder, capsys):
    with pytest.raises(SystemExit):
        run(written(FILE), "-h")
    assert "pages=64" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, line, says",
    [
        (("pages", "page"), 6, "'page' (did you mean pages?)"),
        (("32", "0"), 6, "pages must be "),
        (("32", "'many'"), 6, "pages must be an integer"),
        (("seed = 3", "seed = -3"), 2, "--seed: must be an integer"),
        (("seed = 3", "seed = [3]"), 2, "seed must be one value"),
        (("seed = 3", "sede = 3"), 2, "did you mean seed"),
        (("seed = 3", "jobs = 0"), 2, "--jobs: must be an integer"),
        (("seed = 3", "seeds = [3, 4]"), 2, "lazynuma sweep FILE"),
        (("[set]", "[grid]"), 5, "lazynuma sweep FILE"),
        (("tlb_flush_ns", "tlb_flash_ns"), 7, "did you mean cost.tlb_flush_ns"),
    ],
)
def test_a_refusal_names_the_line(folder, capsys, change, line, says):
    assert run(written(FILE.replace(*change))) == 2
    said = refused(capsys)
    assert said.startswith(f"run.toml, line {line}: ") and says in said


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "scenario must be a name"),
        ("seed = 1\n", "scenario must be a name"),
        ("scenario = 3\n", "scenario must be a name"),
        ("scenario = 'none'\n", "scenario must be one of"),
        ("scenario = 'mine.py'\nset = 3\n", "set must be a table"),
        ("scenario = \n", "run must be TOML"),
        ("\xff", "run must be TOML"),
    ],
)
def test_what_is_no_run_is_refused(folder, capsys, text, says):
    assert run(written(text)) == 2
    assert says in refused(capsys)


def test_a_file_must_be_there_and_be_one(folder, capsys):
    assert run("none.toml") == 2
    assert "run must be a file that exists" in refused(capsys)
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    assert run("bytes.toml") == 2
    assert "run must be a text" in refused(capsys)
    os.mkfifo("pipe.toml")
    assert run("pipe.toml") == 2
    assert "run must be a file that exists" in refused(capsys)


def test_a_refusal_of_what_was_typed_names_no_line(folder, capsys):
    assert run(written(FILE), "--set=page=3") == 2
    assert not refused(capsys).startswith("run.toml")


def test_another_version_warns(folder, capsys):
    assert run(written('version = "0.0.1"\n' + FILE), "--dry-run") == 0
    assert "was written by lazynuma 0.0.1" in capsys.readouterr().err


def test_lines_are_found_in_tables_and_quotes():
    text = '# x = 1\n[set]\n"a.b" = 1\n[set.cost]\nx = 2\n  y= 3\n'
    assert [line_of(text, key) for key in ("a.b", "cost.x", "cost.y", "z", "set")] == [
        3,
        5,
        6,
        0,
        2,
    ]
