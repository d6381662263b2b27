"""Sweeps: which points there are, who runs them, and what a killed process costs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import pytest
from same_results import PROVENANCE, compare_files

from lazynuma.engine.errors import BadInput
from lazynuma.engine.running.checkpoints import checkpoint_folder
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.sweep.folder import Folder
from lazynuma.scenarios.sweep.points import read_sweep

SCENARIO = '''
"""Ask how many points ran."""

import os
import signal
import time
from dataclasses import dataclass

from lazynuma.engine import SUMMARY, Settings, Study, Variant, preset


@dataclass(frozen=True)
class Parameters:
    tasks: int = 1
    name: str = "none"
    sleep: float = 0.0


def build(parameters):
    def steps(simulation):
        with open("ran.txt", "a") as file:
            file.write(f"{parameters.tasks} {parameters.name}\\n")
        time.sleep(parameters.sleep)
        if parameters.name == "bad" and not os.path.exists("mended"):
            raise OSError(28, "No space left on device")
        if parameters.name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if parameters.name == "once" and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    machine = preset("2s", 1 << 30)
    variant = Variant(parameters.name, machine, Settings(), steps, 0, 16)
    return Study("Does it run?", "mechanism", (variant,), SUMMARY)
'''
#: Root attributes that may differ between a run that was left and one that was not.
IGNORED = (*PROVENANCE, "run_id", "resumed")
RUN = [
    sys.executable,
    "-c",
    "import sys, lazynuma.scenarios.cli as c; sys.exit(c.main())",
    "sweep",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a scenario in it."""
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    return tmp_path


def sweep(text, scenario='scenario = "mine.py"\n'):
    Path("s.toml").write_text(scenario + text)
    return read_sweep("s.toml")


def ran():
    """Return how often each (tasks, name) was begun."""
    path = Path("ran.txt")
    return Counter(path.read_text().split("\n")[:-1]) if path.exists() else Counter()


# --- points ---------------------------------------------------------------------------


def test_points_are_grid_times_zip_times_seeds(folder):
    found = sweep(
        "seeds = [3, 4]\n[set]\nsleep = 0.5\n"
        "[grid]\ntasks = [1, 2]\n'cost.tlb_flush_ns' = [0, 7]\n"
        "[zip]\nname = ['a', 'b']\n"
    )
    assert found.varied == ("name", "tasks", "cost.tlb_flush_ns")
    assert len(found.points) == 2 * 4 * 2
    assert [point.number for point in found.points] == list(range(16))
    first, second = found.points[:2]
    assert (first.seed, second.seed) == (3, 4)
    assert first.settings == second.settings
    assert first.settings == {
        "sleep": 0.5,
        "name": "a",
        "tasks": 1,
        "cost.tlb_flush_ns": 0,
    }
    whole = {(p.seed, *(p.settings[k] for k in found.varied)) for p in found.points}
    assert len(whole) == 16


def test_values_are_read_as_on_the_command_line(folder):
    found = sweep("[set]\nsleep = '1e-3'\n[grid]\ntasks = ['2', 3]\n")
    assert [point.settings["tasks"] for point in found.points] == [2, 3]
    assert found.points[0].settings["sleep"] == 1e-3


def test_tables_in_tables_are_names_with_dots(folder):
    found = sweep("[set.cost]\ntlb_flush_ns = 5\n")
    assert found.points[0].settings == {"cost.tlb_flush_ns": 5}


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("seed = [1]\n", "key must be one of .*did you mean seeds"),
        ("seeds = []\n", "seeds must be a list of different"),
        ("seeds = [1, 1]\n", "seeds must be a list of different"),
        ("seeds = [true]\n", "seeds must be a list of different"),
        ("[grid]\n", "grid must have at least one list"),
        ("[grid]\ntasks = []\n", "tasks must be a list of values"),
        ("[grid]\ntasks = 3\n", "tasks must be a list of values"),
        ("[grid]\ntask = [3]\n", "did you mean tasks"),
        ("[grid]\ntasks = ['x']\n", "tasks must be an integer"),
        ("[set]\ntasks = 1\n[grid]\ntasks = [3]\n", "tasks must stand in one table"),
        ("[zip]\ntasks = [1, 2]\nname = ['a']\n", "lists of zip must be of one length"),
        ("set = 3\n", "set must be a table"),
        ("[grid\n", "sweep must be TOML"),
        (
            "[grid]\ntasks = [" + "1," * 1000 + "]\nsleep = [" + "1," * 1000 + "]",
            "at most",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(folder, text, wanted):
    with pytest.raises(BadInput, match=wanted) as error:
        sweep(text)
    assert str(error.value).startswith("s.toml: ")


def test_a_scenario_must_be_there(folder):
    with pytest.raises(BadInput, match="scenario must be a name"):
        sweep("", "")
    with pytest.raises(BadInput, match="did you mean mechanisms"):
        sweep("", 'scenario = "mechanism"\n')


# --- runs -----------------------------------------------------------------------------


def test_points_are_run_once_and_said_to_be_done(folder, capsys):
    sweep("seeds = [1, 2]\n[grid]\ntasks = [1, 2, 3]\n")
    for _ in range(2):
        assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0
        assert "6 points: 6 done, 0 failed" in capsys.readouterr().out
    assert ran() == {f"{tasks} none": 2 for tasks in (1, 2, 3)}
    files = sorted(Path("out").glob("*.h5"))
    assert [path.name for path in files] == [f"point-{n:04}.h5" for n in range(6)]
    for number, path in enumerate(files):
        with h5py.File(path) as file:
            assert file.attrs["seed"] == 1 + number % 2
            assert json.loads(file.attrs["point"]) == {"tasks": 1 + number // 2}


def test_a_file_that_was_deleted_is_made_again(folder):
    sweep("[grid]\ntasks = [1, 2]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0
    Path("out/point-0001.h5").unlink()
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0
    assert ran() == {"1 none": 1, "2 none": 2}


def test_failed_points_are_listed_and_run_again_when_asked(folder, capsys):
    sweep("[grid]\nname = ['none', 'bad']\n")
    for _ in range(2):
        assert commands.main(["sweep", "s.toml", "-o", "out"]) == 1
        out, err = capsys.readouterr()
        assert "point 1 failed: [Errno 28] No space left on device" in out
        assert "1 of 2 points failed (--rerun-failed" in err
    assert ran() == {"1 none": 1, "1 bad": 1}
    Path("mended").touch()
    assert commands.main(["sweep", "s.toml", "-o", "out", "--rerun-failed"]) == 0
    assert ran() == {"1 none": 1, "1 bad": 2}


def test_a_folder_is_of_one_sweep(folder, capsys):
    sweep("[grid]\ntasks = [1]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0
    sweep("[grid]\ntasks = [2]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 2
    assert "must be a folder of this sweep" in capsys.readouterr().err
    assert ran() == {"1 none": 1}
    sweep("[grid]\ntasks = [1]\n")
    Path("mine.py").write_text(SCENARIO + "\n")
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 2


@pytest.mark.parametrize("how", [["--task", "{}/3"], ["--jobs", "2"]])
def test_several_share_a_folder(folder, how):
    sweep(
        "[set]\nsleep = 0.02\n[grid]\ntasks = ["
        + "".join(f"{n}," for n in range(1, 13))
        + "]\n"
    )
    started = [
        subprocess.Popen(
            [*RUN, "s.toml", "-o", "out", *(part.format(n) for part in how)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for process in started:
        process.communicate(timeout=300)
    assert ran() == {f"{tasks} none": 1 for tasks in range(1, 13)}
    assert commands.main(["sweep", "s.toml", "-o", "out", "--status"]) == 0


def test_a_killed_process_costs_its_point_one_try(folder, capsys):
    sweep("[grid]\nname = ['none', 'once']\n")
    done = subprocess.run([*RUN, "s.toml", "-o", "out"], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert commands.main(["sweep", "s.toml", "-o", "out", "--status"]) == 0
    assert "1 done, 0 failed, 0 running, 1 waiting" in capsys.readouterr().out
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0
    assert ran() == {"1 none": 1, "1 once": 2}


def test_a_pool_goes_on_after_a_killed_worker(folder):
    sweep("[grid]\nname = ['none', 'killed', 'once', 'other']\n")
    done = subprocess.run(
        [*RUN, "s.toml", "-o", "out", "--jobs", "2"], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "3 done, 1 failed" in done.stdout
    assert "point 1 failed: its process was killed 2 times" in done.stdout
    assert ran()["1 killed"] == 2


def test_a_claim_of_another_host_is_kept_until_it_is_old(folder):
    found = sweep("[grid]\ntasks = [1]\n")
    place = Folder(Path("out"), found)
    (point,) = found.points
    claim = Path("out/.sweep/0000.claim")
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "born": 1, "tries": 1}))
    assert place.state(point) == "running"
    old = time.time() - 3600
    os.utime(claim, (old, old))
    assert place.state(point) == "waiting"
    with place.taken(point) as ours:
        assert ours
        assert place.state(point) == "running"
        with place.taken(point) as again:
            assert not again
    assert not claim.exists()


def test_time_that_is_over_leaves_points_but_one(folder, capsys):
    """Otherwise a process that begins late would take none, again and again."""
    sweep("[grid]\ntasks = [1, 2, 3]\n")
    arguments = ["sweep", "s.toml", "-o", "out", "--max-time"]
    assert commands.main([*arguments, "1ms"]) == 75
    assert "2 of 3 points are left" in capsys.readouterr().err
    assert ran() == {"1 none": 1}
    assert commands.main([*arguments, "10h"]) == 0


def test_the_end_of_a_slurm_job_is_a_limit(folder, monkeypatch):
    sweep("[grid]\ntasks = [1, 2]\n")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) - 1))
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 75


def test_points_that_failed_keep_none_from_being_run(folder, capsys):
    """An array task that ends with 75 is queued again, one with 1 is not."""
    sweep("[grid]\nname = ['bad', 'none', 'other']\n")
    arguments = ["sweep", "s.toml", "-o", "out", "--max-time", "1ms"]
    assert commands.main(arguments) == 75
    assert "point 0 failed" in capsys.readouterr().out
    assert commands.main(arguments) == 75
    assert commands.main(arguments) == 1


QUANTA = """
[set]
memory = "32MiB"
epoch = "2ms"
mechanisms = "none"
[grid]
tasks = [1, 2]
"""
MECHANISMS = 'scenario = "mechanisms"\n'


def test_points_that_are_left_go_on_as_if_they_had_not_been(folder, capsys):
    sweep(QUANTA, MECHANISMS)
    assert commands.main(["sweep", "s.toml", "-o", "whole"]) == 0
    for limit in ("1ms", "1ms", "1ms", "10h"):
        last = commands.main(["sweep", "s.toml", "-o", "out", "--max-time", limit])
        assert last == (0 if limit == "10h" else 75)
    assert capsys.readouterr().err.count("point 0 saved") == 3
    for name in ("point-0000.h5", "point-0001.h5"):
        files = Path("whole", name), Path("out", name)
        assert compare_files(*files, IGNORED)[1] == ""
        assert not checkpoint_folder(files[1]).exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_leaves_points(folder, jobs):
    sweep("[set]\nsleep = 1\n[grid]\ntasks = [1, 2, 3, 4, 5, 6]\n")
    command = [*RUN, "s.toml", "-o", "out", "--jobs", jobs, "--checkpoint-every", "1h"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not ran():
        time.sleep(0.05)
    running.send_signal(signal.SIGUSR1)
    assert running.wait(60) == 75, running.stderr.read()
    assert sum(ran().values()) <= int(jobs)
    assert commands.main(["sweep", "s.toml", "-o", "out"]) == 0


@pytest.mark.parametrize(
    "given", ["--max-time=3", "--task=3/3", "--jobs=0", "--sbatch=x"]
)
def test_options_that_make_no_sense_are_refused(folder, given, capsys):
    sweep("")
    assert commands.main(["sweep", "s.toml", "-o", "out", given]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("out").exists()


def test_a_dry_run_lists_points_and_runs_none(folder, capsys):
    sweep("[grid]\ntasks = [1, 2]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out", "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4 and "tasks=2" in out[1] and "MiB" in out[1]
    assert out[3].startswith("one after the other: ")


def test_a_dry_run_estimates_the_time_of_all_points(folder, capsys):
    text = "[set]\nmemory = '64MiB'\n[grid]\ntouches = [2, 2000]\n"
    sweep(text, scenario='scenario = "mechanisms"\n')
    assert commands.main(["sweep", "s.toml", "-o", "out", "--dry-run"]) == 0
    out = capsys.readouterr().out.splitlines()
    units = {"ms": 1e-3, "s": 1, "h": 3600}
    found = [re.findall(r"([\d.,]+) (ms|s|h) to ", line)[0] for line in out[:2]]
    few, many = (float(n.replace(",", "")) * units[unit] for n, unit in found)
    assert many > 10 * few
    assert out[3].startswith("one after the other: ") and "a moment of" in out[3]
    assert not Path("out").exists()


def test_the_script_for_slurm_is_bash(folder, capsys):
    sweep("[grid]\ntasks = [1, 2]\n")
    assert commands.main(["sweep", "s.toml", "-o", "my out", "--sbatch", "20"]) == 0
    script = capsys.readouterr().out
    assert "--array=0-19" in script and "'my out'" in script
    assert re.search(r'--task "\$SLURM_ARRAY_TASK_ID/20"', script)
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


#: Commands of Slurm, which say what they were given; lazynuma has points left.
SLURM = {
    "srun": 'echo "srun $* until $SLURM_JOB_END_TIME"; exit 75',
    "squeue": 'echo "squeue $*" >&2; date --date=@1000000000 +%Y-%m-%dT%H:%M:%S',
    "scontrol": 'echo "scontrol $*"',
}


@pytest.mark.parametrize("end", ["", "1234"])
def test_an_array_task_that_has_points_left_queues_itself_again(folder, capsys, end):
    sweep("[grid]\ntasks = [1, 2]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out", "--sbatch", "7"]) == 0
    for name, script in SLURM.items():
        Path(name).write_text(f"#!/bin/bash\n{script}\n")
        Path(name).chmod(0o755)
    slurm = {"JOB_ID": "50", "ARRAY_JOB_ID": "50", "ARRAY_TASK_ID": "6"}
    slurm |= {"CPUS_PER_TASK": "3", "JOB_END_TIME": end}
    done = subprocess.run(
        ["bash"],
        input=capsys.readouterr().out,
        env={f"SLURM_{name}": value for name, value in slurm.items()}
        | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 75, done.stderr
    ran, requeued = done.stdout.splitlines()
    assert "--task 6/7 --threads 3" in ran and "--cpus-per-task=3" in ran
    assert ran.endswith(f"until {end or 1000000000}")
    assert requeued == "scontrol requeue 50_6"
    assert ("--jobs=50_6" in done.stderr) == (end == "")


# --- Dask -----------------------------------------------------------------------------


def test_a_scheduler_that_is_not_there_is_refused(folder, capsys):
    sweep("[grid]\ntasks = [1]\n")
    assert commands.main(["sweep", "s.toml", "-o", "out", "--dask", "none.json"]) == 2
    assert "--dask must" in capsys.readouterr().err


def test_workers_of_a_dask_cluster_share_a_sweep(folder):
    pytest.importorskip("distributed")
    sweep("[grid]\nname = ['none', 'once', 'other', 'bad']\n")
    tool = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard"]
    where = ["--scheduler-file", "cluster.json"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen([*tool, *where, "--no-dashboard", "--port", "0"], **quiet)
    ]
    try:
        started += [
            subprocess.Popen([*worker, *where, "--nthreads", "1"], **quiet)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 120
        while not Path("cluster.json").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        done = subprocess.run(
            [*RUN, "s.toml", "-o", "out", "--dask", "cluster.json"],
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
    assert done.returncode == 1, done.stderr
    assert "3 done, 1 failed" in done.stdout, done.stderr
    assert ran()["1 once"] == 2
