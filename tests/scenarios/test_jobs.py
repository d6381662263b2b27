"""``--jobs``, ``--seeds`` and ``--dask``: what a user sees of runs side by side."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common.side_studies import Backwards
from common.small_scenarios import SMALL
from lazynuma.engine.output.reader import RunFile, RunState
from lazynuma.engine.run import run_study
from lazynuma.engine.running.executors import dask
from lazynuma.scenarios.cli import commands

SCENARIO = '''
"""Does it run?"""

import os
import signal
import time
from dataclasses import dataclass
from functools import partial

from lazynuma.engine import SUMMARY, Settings, Study, Uniform, Variant, preset


@dataclass(frozen=True)
class Parameters:
    names: tuple[str, ...] = ("a", "b")


def build(parameters):
    machine = preset("2s", 1 << 30)

    def steps(simulation, name):
        with open("ran.txt", "a") as file:
            file.write(f"{os.getpid()} {name}\\\\n")
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, 64 * 4096)
        simulation.run([Uniform(task=task, region=region, count=1000 * len(name))])
        if name == "fails":
            raise KeyError("x")
        if name == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "sleeps":
            time.sleep(120)

    variants = [
        Variant(name, machine, Settings(), partial(steps, name=name), 1000, 64)
        for name in parameters.names
    ]
    return Study(__doc__.strip(), "mechanism", tuple(variants), SUMMARY)
'''.replace("\\\\n", "\\n")
LINE = SCENARIO.split("\n").index('            raise KeyError("x")') + 1
RUN = [sys.executable, "-c", "from lazynuma.scenarios.cli import console; console()"]
SCRIPT = Path(__file__).parents[1] / "linux" / "linux-6.1" / "basic-thp-fault.mm"
GOLDEN = Path(__file__).with_name("golden")
LACKEY = Path(__file__).parents[1] / "data" / "lackey.txt.gz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def json_of(capsys, *arguments):
    """Return what a command prints with --json, without its wall times."""
    assert commands.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for row in found["rows"]:
        row.pop("wall_s")
    return found


def begun(count):
    """Wait until so many variants have begun; return (process, name) of each."""
    patience = time.monotonic() + 120
    while time.monotonic() < patience:
        path = Path("ran.txt")
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        if len(lines) >= count:
            return [(int(one.split()[0]), one.split()[1]) for one in lines]
        time.sleep(0.05)
    raise TimeoutError("no variant has begun")


def lives(pid):
    """Whether a process is there, and no zombie."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def assert_gone(found):
    pids = [pid for pid, _ in found]
    patience = time.monotonic() + 20
    while any(map(lives, pids)) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not any(map(lives, pids))


def start(*more):
    """Start a run of two variants that sleep, side by side."""
    return subprocess.Popen(
        [*RUN, "run", "mine.py", "--set", "names=sleeps,a", "--jobs", "2", *more],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


# --- the same results -----------------------------------------------------------------


def test_jobs_change_no_result(folder, capsys):
    alone = json_of(capsys, "run", "mine.py", "-o", "one.h5")
    beside = json_of(capsys, "run", "mine.py", "-o", "two.h5", "--jobs", "2")
    assert beside == alone
    pids = [pid for pid, _ in begun(4)]
    assert set(pids[:2]) == {os.getpid()} and os.getpid() not in pids[2:]


@pytest.mark.parametrize("name", ["penalties", "swap_space", "teardown"])
def test_variants_know_nothing_of_each_other(name):
    module, parameters = SMALL[name]
    make = partial(module.build, module.Parameters(**parameters))
    study = make()
    rows = run_study(study, jobs=Backwards(len(study.variants)), make=make)
    want = json.loads((GOLDEN / f"{name}.json").read_text())
    assert [row.pop(study.dimension) for row in rows] == list(want)
    for row, values in zip(rows, want.values(), strict=True):
        row.pop("wall_s")
        assert {k: np.nan_to_num(v, nan=-1).tolist() for k, v in row.items()} == values


def test_a_trace_is_replayed_side_by_side(folder, capsys):
    replay = "replay", str(LACKEY), "--set", "mechanisms=balancing,none"
    alone = json_of(capsys, *replay)
    assert json_of(capsys, *replay, "--jobs", "2") == alone
    assert [row["gain_ns"] == 0 for row in alone["rows"]] == [True, True]


def test_an_error_of_a_worker_is_told_with_its_line(folder, capsys):
    status = commands.main(
        ["run", "mine.py", "--set", "names=fails,a", "--jobs", "2", "-o", "run.h5"]
    )
    assert status == 1
    said = capsys.readouterr().err
    assert said == f"lazynuma: KeyError: 'x' (mine.py, line {LINE})\n"
    with RunFile("run.h5") as file:
        assert file.state == RunState.FAILED


@pytest.mark.parametrize(
    "option", [("--jobs", "2"), ("--seeds", "2"), ("--dask", "scheduler.json")]
)
def test_a_memory_script_is_one_run(option, capsys):
    assert commands.main(["replay", str(SCRIPT), *option]) == 2
    said = capsys.readouterr().err
    assert f"{option[0]} must be left out with a memory script" in said


# --- the end of a process -------------------------------------------------------------


@pytest.mark.parametrize(
    ("signum", "status", "group"),
    [
        (signal.SIGINT, 130, True),  # as a terminal does it
        (signal.SIGINT, 130, False),
        (signal.SIGTERM, 143, True),  # as Slurm does it
    ],
)
def test_a_signal_ends_all_processes(folder, signum, status, group):
    running = start("-o", "run.h5")
    pids = begun(2)
    (os.killpg if group else os.kill)(running.pid, signum)
    begin = time.monotonic()
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == status
    assert said == f"lazynuma: stopped by {signum.name}\n"
    assert time.monotonic() - begin < 30
    assert_gone(pids)
    with RunFile("run.h5") as file:
        assert file.state == RunState.STOPPED


def test_a_signal_that_is_not_for_workers_does_not_reach_them(folder):
    running = start("-o", "run.h5")
    (pid,) = {pid for pid, name in begun(2) if name == "sleeps"}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SigBlk":
            blocked = int(value, 16)
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        assert blocked >> signum - 1 & 1
        os.kill(pid, signum)
        os.kill(int(parent), signum)  # what it was forked from
    time.sleep(0.5)
    assert lives(pid) and lives(parent) and running.poll() is None
    running.kill()
    running.communicate(timeout=60)
    assert_gone([(pid, ""), (parent, "")])


def test_processes_end_with_the_one_that_started_them(folder):
    running = start()
    pids = begun(2)
    running.kill()
    running.communicate(timeout=60)
    assert_gone(pids)


def test_a_worker_that_is_killed_is_told_in_one_line(folder):
    running = start("-o", "run.h5")
    pids = begun(2)
    os.kill(next(pid for pid, name in pids if name == "sleeps"), signal.SIGKILL)
    said = running.communicate(timeout=120)[1].decode()
    assert running.returncode == 1
    last = said.splitlines()[-1]  # on a slow machine there is progress before
    assert re.fullmatch(r"lazynuma: 1 of 2 runs ended .*killed.*: sleeps", last), said
    with RunFile("run.h5") as file:
        assert file.state == RunState.FAILED
        assert [time > 0 for time in file.summary["run_time_ns"]] == [False, True]


# --- seeds ----------------------------------------------------------------------------


def test_seeds_give_medians_and_a_spread(folder, capsys):
    found = json_of(capsys, "run", "mine.py", "--seeds", "3", "--seed", "7")
    for row in found["rows"]:
        assert [one["seed"] for one in row["replicas"]] == [7, 8, 9]
        times = [one["run_time_ns"] for one in row["replicas"]]
        assert row["run_time_ns"] == sorted(times)[1]
        assert set(row["pages_refused_by"]) == set(
            row["replicas"][0]["pages_refused_by"]
        )
    assert "of 3 seeds" in found["verdict"]
    assert commands.main(["run", "mine.py", "--seeds", "3"]) == 0
    shown = capsys.readouterr().out
    assert "3 seeds" in shown and max(map(len, shown.splitlines())) <= 80


def test_seeds_and_uncertainty_are_refused(folder, capsys):
    assert commands.main(["run", "mine.py", "--seeds", "2", "--uncertainty"]) == 2
    assert "seeds must be one with uncertainty" in capsys.readouterr().err


# --- Dask -----------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as found:
        path = tmp_path / "scheduler.json"
        path.write_text(json.dumps(found.scheduler.identity()))
        yield path


def test_dask_runs_the_variants(folder, capsys, cluster):
    alone = json_of(capsys, "run", "mine.py", "--seeds", "2")
    assert json_of(
        capsys, "run", "mine.py", "--seeds", "2", "--dask", str(cluster)
    ) == (alone)


def test_a_dask_worker_that_dies_costs_its_variant_alone(folder, capsys, cluster):
    names = "names=a,dies,b"
    arguments = ["run", "mine.py", "--set", names, "-o", "run.h5"]
    assert commands.main([*arguments, "--dask", str(cluster)]) == 1
    said = capsys.readouterr().err
    assert re.search(r"^lazynuma: 1 of 3 runs ended .*: dies$", said, re.M), said
    with RunFile("run.h5") as file:
        assert file.state == RunState.FAILED
        ended = [time > 0 for time in file.summary["run_time_ns"]]
        assert ended == [True, False, True]
    # Dask tries what was killed again; nobody waits for that any more.
    assert [name for _, name in begun(3)].count("dies") == 1


def test_a_scheduler_file_that_is_not_there_is_refused(folder, capsys):
    assert commands.main(["run", "mine.py", "--dask", "none.json"]) == 2
    assert "must be a scheduler file, got none.json" in capsys.readouterr().err
    assert not Path("ran.txt").exists()


def test_dask_gives_an_executor(cluster):
    with dask(str(cluster)) as executor:
        assert executor.submit(int, "7").result(60) == 7
