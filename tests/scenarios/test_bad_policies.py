"""A policy of a user's file that is wrong: one line names the file and the function."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lazynuma.engine import open_run
from lazynuma.scenarios import cli

MINE = '''\
"""Does my policy work?"""
from dataclasses import dataclass
from lazynuma.engine import *


@dataclass(frozen=True)
class Parameters:
    count: int = 20_000


def helper(x):
    return x


{code}


def build(parameters):
    def steps(simulation):
        process = simulation.spawn("job")
        tasks = [simulation.start_task(process, cpu) for cpu in (0, 1)]
        region = simulation.mmap(process, 1 << 22)
        simulation.populate(tasks[0], region)
        simulation.mark(tasks[0], region, Mechanism.HINTING)
        simulation.run(
            [Uniform(task=one, region=region, count=parameters.count) for one in tasks]
        )

    machine = uniform(2, 1 << 28, cpus_per_node=1)
    policy = PlacementPolicy(hint_fault=decide, arrays=({arrays}))
    variant = Variant(
        "mine", machine, Settings(), steps, 2 * parameters.count, {pages}, policy=policy
    )
    return Study("Does it work?", "policy", (variant,), SUMMARY)
'''
GOOD = "def decide(fault, mine):\n    return fault.cpu_node"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(code: str = GOOD, arrays: str = "", pages: str = "1024") -> None:
    text = MINE.format(code=code, arrays=arrays, pages=pages)
    Path("mine.py").write_text(text)


def run(capsys, *more: str) -> tuple[int, list[str]]:
    """Run the file; return the exit status, and the lines of standard error."""
    capsys.readouterr()
    status = cli.main(["run", "./mine.py", "--quiet", "-o", "out.h5", *more])
    return status, capsys.readouterr().err.splitlines()


def test_a_good_one_runs(capsys):
    write()
    assert run(capsys) == (0, [])


#: What is wrong, in the function or its arrays, and what must be said.
REFUSED = [
    (
        "def decide(fault):\n    return 0",
        "",
        r"mine.py:15: decide must be a function of",
    ),
    (
        "def decide(*all):\n    return 0",
        "",
        r"mine.py:15: decide must be a function of",
    ),
    ("decide = 3", "", r"hint_fault must be a function, got 3"),
    (GOOD, "Own('x', 'S3', 'page'),", r"dtype of array x must be one of int8, .* got"),
    (GOOD, "Own('x', 'float16', 'page'),", r"dtype of array x must be one of int8, "),
    (GOOD, "Own('x', 'int8', 'page', fill=300),", r"fill of array x must be a number"),
    (GOOD, "Own('x', 'int8', 'pag'),", r"per of array x must be one of .*mean page"),
    (GOOD, "Own('x_new', 'int8', 'page'),", r"name of an array must be a word"),
    (GOOD, "Own('x', 'int8', 'task', 'mean'),", r"fold of array x must be one of sum"),
    (GOOD, "3,", r"arrays must be a tuple of Own, got 3 in it"),
    (
        GOOD,
        "Own('x', 'int8', 'page'), Own('x', 'int8', 'task')",
        r"arrays must have different names, got x, x",
    ),
]


@pytest.mark.parametrize("code, arrays, said", REFUSED)
def test_what_is_wrong_is_refused(capsys, code, arrays, said):
    write(code, arrays)
    status, lines = run(capsys)
    assert status == 2 and len(lines) == 1, lines
    assert re.search(said, lines[0]), lines
    assert not Path("out.h5").exists()


#: What Numba would not compile, or would return something else.
UNCOMPILED = [
    ("    return 1.5", r"15: decide must return a node's number, .* got"),
    ("    return fault.page > 3", r"15: decide must return a node's number, .* got"),
    ("    if fault.page:\n        return 1", r"15: decide must return .* got"),
    ("    return fault.pge", r"mine.py:16: decide must .*pge"),
    ("    return helper(fault.page) + undefined", r"mine.py:16: decide must .*, got"),
]
compiles = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"
)


@compiles
@pytest.mark.parametrize("body, said", UNCOMPILED)
def test_what_cannot_be_compiled_is_refused(capsys, body, said):
    write(f"def decide(fault, mine):\n{body}")
    status, lines = run(capsys)
    assert status == 2 and len(lines) == 1, lines
    assert re.search(said, lines[0]), lines
    assert not Path("out.h5").exists()


def test_an_array_that_is_too_big_is_refused_by_name(capsys):
    write(arrays="Own('great', 'float64', 'page'),", pages="1 << 44")
    status, lines = run(capsys)
    assert status == 2 and len(lines) == 1
    assert "host memory must hold about" in lines[0]
    assert "128 TiB of it for array great of its policy" in lines[0]


RAISES = [
    ("    if fault.now_ns >= 0:\n        raise ValueError('no')\n    return 0", 17),
    ("    return mine.x[fault.page + (1 << 50)]", 16),
    ("    return 1 // (fault.pages - 1)", 16),
]


@pytest.mark.parametrize("body, line", RAISES)
def test_an_exception_ends_the_run_with_a_file_that_can_be_read(capsys, body, line):
    write(f"def decide(fault, mine):\n{body}", "Own('x', 'int8', 'page'),")
    status, lines = run(capsys)
    assert status == 1 and len(lines) == 1, lines
    rule = rf"mine.py:{line}: decide must raise no exception, got \w+Error: "
    assert re.search(rule, lines[0]), lines
    with open_run("out.h5") as tree:
        assert tree.attrs["state"] == "failed"


def test_an_endless_loop_ends_with_ctrl_c_within_a_second():
    write(
        "def decide(fault, mine):\n    while fault.pages:\n        pass\n    return 0"
    )
    command = [sys.executable, "-m", "lazynuma", "run", "./mine.py", "-o", "out.h5"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_the_loop(child)
        begin = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        took = time.monotonic() - begin
    finally:
        child.kill()
    assert child.returncode == 130
    last = said.splitlines()[-1]
    assert re.search(r"SIGINT in mine.py:15: decide, which must return", last), said
    assert took < 20  # a second on an idle machine: see docs/performance.md
    with open_run("out.h5") as tree:
        assert tree.attrs["state"] == "stopped"


def _wait_for_the_loop(child: subprocess.Popen) -> None:
    """Wait until the file is there and the process does nothing but compute."""
    used = 0.0
    for _ in range(1200):
        assert child.poll() is None
        time.sleep(0.5)
        before, used = used, _cpu_seconds(child.pid)
        if Path("out.h5").exists() and used > before + 0.1:
            time.sleep(3)
            return
    raise AssertionError("the run did not begin")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
