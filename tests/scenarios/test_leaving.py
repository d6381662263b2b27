"""Runs that are left go on later, and end as if they had never been left."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from same_results import PROVENANCE, SCRIPTS, compare_files

from lazynuma.engine.checkpoint import checkpoint_file
from lazynuma.engine.output.lock import Lock
from lazynuma.engine.running import checkpoints
from lazynuma.scenarios import cli

IGNORED = (*PROVENANCE, "threads", "run_id", "resumed")
#: Two variants of some twenty quanta together, in epochs of a few.
SMALL = ["run", "mechanisms", "--set", "memory=16MiB", "--set", "epoch=1ms"]
SMALL += ["--set", "mechanisms=none,hinting", "--threads", "1"]
#: Leaves a run as soon as it has gone on a little: the time is long over.
LEAVE = ["--max-time", "1ms", "--resume"]

MINE = '''\
"""Is a run left when it is asked to?"""
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from lazynuma.engine import *
from lazynuma.engine.study import SUMMARY
from lazynuma.scenarios.cli.leaving import is_asked


def ask():
    """Ask, and wait: another thread hears it, perhaps after the end of this run."""
    os.kill(os.getpid(), signal.SIGUSR1)
    end = time.monotonic() + 60
    while not is_asked() and time.monotonic() < end:
        time.sleep(0.001)


@dataclass(frozen=True)
class Parameters:
    count: int = 200_000


def build(parameters):
    def steps(simulation, name):
        process = simulation.spawn("job")
        task = simulation.start_task(process, 0)
        region = simulation.mmap(process, 1 << 22)
        for number in range(3):
            simulation.run([Uniform(task=task, region=region, count=parameters.count)])
            if name == "second" and number == 0 and Path("ask").exists():
                ask()

    machine = uniform(2, 1 << 28)
    variants = tuple(
        Variant(name, machine, Settings(), lambda s, name=name: steps(s, name), 0, 0)
        for name in ("first", "second")
    )
    return Study("Is it left?", "order", variants, SUMMARY)
'''


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The file of the run that was not left."""
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    assert cli.main([*SMALL, "-o", str(path)]) == 0
    return path


def run(*more: str, start=SMALL, output: str = "out.h5") -> int:
    return cli.main([*start, "-o", output, *more])


def left_in_the_middle(sessions: int = 1) -> Path:
    """Leave a run several times; return its file, in its first variant."""
    for _ in range(sessions):
        assert run(*LEAVE) == 75
    return Path("out.h5")


def left_in_the_second_variant() -> list[str]:
    """Leave a run of which a variant has ended; return how it is started."""
    Path("mine.py").write_text(MINE)
    Path("ask").touch()
    start = ["run", "mine.py"]
    assert run("--checkpoint-every", "1h", start=start) == 75
    Path("ask").unlink()
    return start


def check_equal(whole: Path, path: str = "out.h5") -> None:
    assert not compare_files(whole, Path(path), IGNORED)[1]
    assert [one.name for one in Path().iterdir() if one.name.startswith(path)] == [path]


def refused(capsys, status: int = 2) -> str:
    """Return the one line that was said on stderr."""
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1 and "Traceback" not in lines[0]
    return lines[0]


# --- how it is left -------------------------------------------------------------------


def test_each_session_goes_on_a_little_and_the_end_is_the_same(whole, capsys):
    for _ in range(6):
        assert run(*LEAVE) == 75
        with h5py.File("out.h5") as file:
            assert file["run/state"][()] == 2  # stopped, and readable
    assert run("--resume") == 0
    check_equal(whole)
    said = capsys.readouterr().err.strip().split("\n")[0]
    line = " ".join(["lazynuma", *SMALL, "-o", "out.h5", *LEAVE])
    left = "lazynuma: the run is saved and left (its time is over); it goes on with: "
    assert said == left + line
    with h5py.File("out.h5") as file:
        assert file.attrs["resumed"] == 6


def test_end_of_a_slurm_job_is_a_limit(whole, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1000000000")
    assert run("--checkpoint-every", "1h") == 75
    assert run("--resume") == 75
    monkeypatch.setenv("SLURM_JOB_END_TIME", "9000000000")
    assert run("--resume") == 0
    check_equal(whole)


def test_sigusr1_leaves_a_run_in_its_second_variant(capsys):
    start = left_in_the_second_variant()
    assert "(SIGUSR1)" in capsys.readouterr().err
    with h5py.File("out.h5") as file:
        assert (file["runtime/run_s"][:] > 0).tolist() == [True, False]
    assert run("--resume", start=start) == 0
    assert run(start=start, output="whole.h5") == 0
    check_equal(Path("whole.h5"))


def test_workers_leave_their_variants_and_go_on(whole):
    assert run(*LEAVE, "--jobs", "2") == 75
    assert run("--resume", "--jobs", "2") == 0
    check_equal(whole)


def test_replayed_trace_goes_on():
    trace = Path("lackey.txt")
    lines = [f" S {0x1000 * (n % 700):x},8" for n in range(5_000)]
    trace.write_text("\n".join(lines) + "\n")
    start = ["replay", str(trace), "--set", "machine=2s", "--set", "epoch=1ms"]
    assert run(start=start, output="whole.h5") == 0
    sessions = 0
    while (status := run(*LEAVE, start=start)) == 75:
        sessions += 1
    assert status == 0 and sessions > 0
    check_equal(Path("whole.h5"))


def test_script_goes_on():
    start = ["replay", str(SCRIPTS / "balance-100.mm")]
    assert run(start=start, output="whole.h5") == 0
    assert [run(*LEAVE, start=start) for _ in range(2)] == [75, 75]
    assert run("--resume", start=start) == 0
    check_equal(Path("whole.h5"))


def test_script_for_slurm_of_the_docs(monkeypatch):
    """Slurm's signal to the script saves the run, and the script asks for another."""
    page = Path(__file__).parents[2] / "docs" / "runs.md"
    script = page.read_text().partition("```sh\n#!/bin/bash")[2].partition("```")[0]
    asks = MINE.replace("os.getpid()", "os.getppid()")
    Path("mine.py").write_text(asks)
    assert run(start=["run", "mine.py"], output="whole.h5") == 0
    job = re.sub(
        r"lazynuma run \S+ --set \S+ -o m.h5 --jobs 2 (.*)",
        rf"{sys.executable} -c 'from lazynuma.scenarios.cli import console; console()'"
        r" run mine.py -o out.h5 \1",
        script,
    )
    Path("job.sh").write_text(job)
    Path("scontrol").write_text('#!/bin/bash\necho "$@" >> requeued\n')
    Path("scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path.cwd()}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    Path("ask").touch()
    assert subprocess.run(["bash", "job.sh"]).returncode == 75
    assert Path("requeued").read_text() == "requeue 7\n"
    Path("ask").unlink()
    assert subprocess.run(["bash", "job.sh"]).returncode == 0
    assert Path("requeued").read_text() == "requeue 7\n"
    check_equal(Path("whole.h5"))


# --- how it goes on -------------------------------------------------------------------


def test_one_command_serves_the_first_start_and_all_others(whole, capsys):
    assert run("--resume") == 0
    check_equal(whole)
    assert "finished" not in capsys.readouterr().out
    assert run("--resume") == 0
    assert "the run of out.h5 is finished" in capsys.readouterr().out
    check_equal(whole)


def test_killed_run_with_no_checkpoint_yet_begins_again(whole):
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from lazynuma.scenarios import cli
from lazynuma.engine.checkpoint import checkpoint_file
checkpoint_file.write = lambda *_: os._exit(9)
cli.main({[*SMALL, "-o", "out.h5", "--checkpoint-every", "1ms"]!r})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert run("--resume") == 0
    check_equal(whole)


def test_checkpoint_before_the_last_one_serves_if_that_is_damaged(whole, capsys):
    left_in_the_middle(3)
    (newest,) = Path("out.h5.checkpoint").glob("0000*.h5")
    newest.write_bytes(newest.read_bytes()[:-100])
    assert run("--resume") == 0
    assert "the one before it is used" in capsys.readouterr().err
    check_equal(whole)


def test_full_disk_costs_a_checkpoint_and_not_the_run(whole, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_file, "write", full)
    assert run("--checkpoint-every", "1ms") == 0
    assert "No space left on device" in capsys.readouterr().err
    check_equal(whole)


def test_new_run_in_the_place_of_a_left_one_forgets_its_checkpoints(whole):
    left_in_the_middle()
    assert run("--force", "--checkpoint-every", "1h") == 0
    check_equal(whole)


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    "more, said",
    [
        (["--set", "thp=always"], "parameters must be as when the run of"),
        (["--seed", "2"], "seed must be as when the run of"),
        (["--set", "cost.tlb_flush_ns=7"], "costs must be as when the run of"),
        (["--set", "memory=32MiB"], "memory="),
    ],
)
def test_another_run_is_refused(more, said, capsys):
    before = left_in_the_middle().read_bytes()
    capsys.readouterr()
    assert run(*more, "--resume") == 2
    assert said in refused(capsys)
    assert Path("out.h5").read_bytes() == before


def test_another_version_is_refused(capsys, monkeypatch):
    left_in_the_middle()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "key_of", lambda sources: "other kernels")
        assert run("--resume") == 2
    assert "kernels must be as when the run of" in refused(capsys)


def test_finished_run_of_other_settings_is_not_taken_for_this_one(capsys):
    assert run("--resume") == 0
    capsys.readouterr()
    assert run("--resume", "--seed", "3") == 2
    assert "seed must be as when the run of" in refused(capsys)


def test_damaged_checkpoint_without_one_before_is_refused(capsys):
    before = left_in_the_middle().read_bytes()
    (only,) = Path("out.h5.checkpoint").glob("0000*.h5")
    kept = only.read_bytes()
    for damaged in (kept[:-1], kept[:3000] + b"x" + kept[3001:], b""):
        only.write_bytes(damaged)
        capsys.readouterr()
        assert run("--resume") == 2
        assert "checkpoint must" in refused(capsys)
        assert Path("out.h5").read_bytes() == before


def test_file_without_its_checkpoints_is_refused(capsys):
    start = left_in_the_second_variant()
    os.rename("out.h5.checkpoint", "away")
    capsys.readouterr()
    assert run("--resume", start=start) == 2
    assert "output must have its checkpoints beside it" in refused(capsys)
    os.rename("away", "out.h5.checkpoint")
    os.rename("out.h5", "away.h5")
    assert run("--resume", start=start) == 2
    assert "output must be there to be resumed" in refused(capsys)


def test_checkpoints_of_another_file_are_refused(capsys):
    start = left_in_the_second_variant()
    shutil.copy("out.h5", "other.h5")
    assert run("--force", *LEAVE[:2], start=start) == 75
    shutil.copy("other.h5", "out.h5")
    capsys.readouterr()
    assert run("--resume", start=start) == 2
    assert "those of another run" in refused(capsys)


def test_file_in_use_is_refused(capsys):
    left_in_the_middle()
    lock = Lock(Path("out.h5").absolute())
    capsys.readouterr()
    assert run("--resume") == 2
    assert "file must not be in use" in refused(capsys)
    lock.release()


@pytest.mark.parametrize(
    "option", [["--resume"], ["--max-time", "1h"], ["--checkpoint-every", "1h"]]
)
def test_options_need_a_file(option, capsys):
    assert cli.main([*SMALL, *option]) == 2
    assert f"{option[0]} must go with -o FILE.h5" in refused(capsys)


def test_options_that_contradict_each_other_are_refused(capsys):
    assert run("--resume", "--force") == 2
    assert "--resume must not go with --force" in refused(capsys)
    assert run("--max-time", "10") == 2
    assert "must be a time with its unit" in refused(capsys)


# --- killed ---------------------------------------------------------------------------


def test_killed_runs_end_as_the_unbroken_one():
    program = Path(__file__).parents[1] / "resumed_kills.py"
    done = subprocess.run(
        [sys.executable, str(program), "--count", "1", "--seed", "7"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs end as the unbroken one" in done.stdout
