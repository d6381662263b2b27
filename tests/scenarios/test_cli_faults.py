"""What the command line says of faults: a user's, the machine's, and our own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import damaged_inputs
import h5py
import kills
import pytest

from common.run_files import writer
from lazynuma.engine.output.reader import RunState
from lazynuma.scenarios.cli import apart, commands, find, say, signals

CONSOLE = [
    sys.executable,
    "-c",
    "from lazynuma.scenarios.cli import console; console()",
]
HEAD = '''\
"""Does it run?"""
from dataclasses import dataclass
from lazynuma.engine import *


@dataclass(frozen=True)
class Parameters:
    size: int = 1


def build(parameters):
    machine = preset("2s", 1 << 28)
'''
TAIL = """
    variants = [Variant("none", machine, Settings(), steps, 0, 0)]
    return Study("Does it run?", "mechanism", tuple(variants), SUMMARY)
"""
#: The line where the text between ``HEAD`` and ``TAIL`` begins.
LINE = HEAD.count("\n") + 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys) -> str:
    out, err = capsys.readouterr()
    assert err.startswith("lazynuma: ") and err.count("\n") == 1, err
    return err[len("lazynuma: ") : -1]


def steps(*lines: str) -> str:
    return "    def steps(simulation):\n" + "".join(f"        {one}\n" for one in lines)


def run(folder: Path, middle: str, *more: str) -> int:
    (folder / "mine.py").write_text(HEAD + middle + TAIL)
    return commands.main(["run", "mine.py", *more])


# --- a user's file --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("middle", "says"),
    [
        (steps("return [1]"), f"a dict or nothing, got list (mine.py, line {LINE})"),
        (
            steps("return {'faults': 'x'}"),
            f"a number for faults, got 'x' (mine.py, line {LINE})",
        ),
        (steps("raise SystemExit(0)"), "steps must return, got an exit from Python"),
        (steps("raise GeneratorExit"), "steps must return, got an exit from Python"),
        ("    return 7\n", f"return a Study, got int (mine.py, line {LINE - 2})"),
        ("    1 / 0\n", f"division by zero (mine.py, line {LINE})"),
        ("    import sys; sys.exit(3)\n", f"SystemExit: 3 (mine.py, line {LINE})"),
        ("    return Study('x', 'm', 7, SUMMARY)\n", "variants must be a tuple of Var"),
        ("    return Study('x', 'a/b', (), ())\n", "must be a name of letters"),
        ("    return Study('x', 'a b', (), ())\n", "must be a name of letters"),
        (
            "    Variant('x', machine, Settings(), len, -1, 0)\n",
            "accesses must be an integer of at least 0, got -1",
        ),
        (
            "    Variant('x', machine, Settings(), len, 0, -1)\n",
            "mapped_pages must be an integer of at least 0, got -1",
        ),
        ("    Variant('x', 7, Settings(), len, 0, 0)\n", "machine must be a Machine"),
        (
            steps("simulation.spawn().nothing"),
            f"no attribute 'nothing' (mine.py, line {LINE + 1})",
        ),
        (
            steps("simulation.mmap(7, 4096)"),
            f"mine.py, line {LINE + 1}, must give lazynuma what it can use",
        ),
    ],
)
def test_what_a_file_hands_over_is_refused_with_its_line(folder, capsys, middle, says):
    status = run(folder, middle)
    line = one_line(capsys)
    assert says in line and "mine.py, line" in line
    assert status == (1 if "no attribute" in line else 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("simulation.mark(task, region, 'x')", "mechanism must be a Mechanism"),
        ("Sweep(task=task, region=region, count=1.5)", "count must be an integer"),
    ],
)
def test_what_a_file_gives_to_a_call_is_checked(folder, capsys, call, says):
    lines = (
        "task = simulation.start_task(simulation.spawn(), cpu=0)",
        "region = simulation.mmap(task.process, 4096)",
        call,
    )
    assert run(folder, steps(*lines)) == 1
    assert f"(mine.py, line {LINE + 3})" in (line := one_line(capsys)) and says in line


def test_a_refusal_in_mid_run_leaves_the_file_closed(folder, capsys):
    assert run(folder, steps("return 7"), "-o", "out.h5") == 2
    with h5py.File("out.h5") as file:
        assert file["run/state"][()] == RunState.FAILED


@pytest.mark.parametrize("text", ["raise SystemExit(0)", "raise GeneratorExit", "1/0"])
def test_a_file_that_ends_python_at_import_is_refused(folder, capsys, text):
    (folder / "mine.py").write_text(text + "\n")
    assert commands.main(["run", "mine.py"]) == 2
    assert "mine.py must import, got" in one_line(capsys)


def test_debug_shows_the_traceback(folder, capsys):
    assert run(folder, "    1 / 0\n", "--debug") == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_our_own_says_so(monkeypatch, capsys):
    monkeypatch.setattr(find, "scenario_names", lambda: None)
    assert commands.main(["scenarios"]) == 1
    assert one_line(capsys).startswith("this is a fault of lazynuma, run with --debug")


# --- inputs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "run /etc/passwd",
        "run mechanisms --costs /dev/zero",
        "run mechanisms --costs pipe",
        "run mechanisms --costs deep.toml",
        "run mechanisms --costs digits.toml",
        "run mechanisms --set memory=" + "[" * 3000,
        "run mechanisms --set memory=" + "9" * 5000,
        "run mechanisms --set memory=８GiB",
        "run mechanisms --seed " + "9" * 5000,
        "run mechanisms -o pipe --force",
        "info pipe",
        "info --recover pipe",
        "replay pipe.mm",
    ],
)
def test_input_without_end_or_sense_is_refused_in_one_line(folder, capsys, arguments):
    os.mkfifo("pipe")
    os.mkfifo("pipe.mm")
    Path("deep.toml").write_text("x = " + "[" * 3000)
    Path("digits.toml").write_text("[cost]\nsyscall_ns = 9" + "9" * 5000)
    assert commands.main(arguments.split()) == 2
    line = one_line(capsys)
    assert not damaged_inputs.EXCEPTION.search(line) and len(line) < 400, line
    assert sorted(p.name for p in folder.iterdir()) == [
        *("deep.toml", "digits.toml", "pipe", "pipe.mm"),
    ]


def test_what_takes_too_long_to_read_is_refused(folder, capsys):
    def read(path: str) -> str:
        time.sleep(60)
        return path

    with pytest.raises(commands.BadInput, match="could not be read in 1 s"):
        apart.apart(read, "x.h5", False, 1)


def test_a_crash_of_the_reader_is_a_refusal(folder):
    def read(path: str) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return path

    with pytest.raises(commands.BadInput, match="must be whole"):
        apart.apart(read, "x.h5", False)


def test_info_prints_no_control_character(folder, capsys):
    writer(folder / "x.h5", title="\x1b]0;owned\x07\nstate done").close(RunState.DONE)
    assert commands.main(["info", "x.h5"]) == 0
    out = capsys.readouterr().out
    assert r"\x1b]0;owned\x07\nstate done" in out and "\x1b" not in out


def test_messages_have_no_control_characters(capsys):
    assert commands.main(["run", "\x1b[31m"]) == 2
    assert "\x1b" not in one_line(capsys)


# --- streams and signals --------------------------------------------------------------


def test_closed_streams_are_no_reason_to_wait_or_fail(folder):
    (folder / "mine.py").write_text(HEAD + steps("pass") + TAIL)
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        command = f'exec "$@" {closed}'
        arguments = [*CONSOLE, "run", "mine.py", "-o", "out.h5", "--force"]
        done = subprocess.run(
            ["bash", "-c", command, "bash", *arguments],
            capture_output=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, b""), closed
        with h5py.File("out.h5") as file:
            assert file["run/state"][()] == RunState.DONE


def test_names_of_any_bytes_are_no_reason_to_fail(folder):
    (folder / "mine.py").write_text(HEAD + steps("pass") + TAIL)
    name = os.fsdecode(b"caf\xe9-\xc3\xa9.h5")
    done = subprocess.run(
        [*CONSOLE, "run", "mine.py", "-o", name],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"written to caf\\udce9-\\xe9.h5\n")
    with h5py.File(name) as file:
        assert "caf\\udce9" in file.attrs["command"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_leaves_no_traceback(folder, signum):
    (folder / "mine.py").write_text("import time\nopen('on', 'w')\ntime.sleep(60)\n")
    process = subprocess.Popen([*CONSOLE, "run", "mine.py"], stderr=subprocess.PIPE)
    while not Path("on").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert err.decode() == f"lazynuma: stopped by {signum.name}\n"


def test_a_signal_at_the_end_of_a_run_does_not_hide_its_result():
    def work(stop: signals.Stop) -> int:
        time.sleep(0.2)  # until the handlers are there
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return 7

    assert signals.interruptible(work) == 7


def test_own_lines_are_found_through_causes():
    try:
        try:
            exec(compile("1 / 0", "/x/mine.py", "exec"), {"__name__": f"{say.OWN}mine"})
        except ZeroDivisionError as error:
            raise ValueError from error
    except ValueError as error:
        assert say.own_place(error) == "mine.py, line 1"


# --- short runs of the long checks ----------------------------------------------------


def test_kills_leave_nothing_or_a_readable_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(kills.kills(8, 3, tmp_path))
    assert [kill.wrong for kill in found if kill.wrong] == []
    assert len(found) == 8


def test_damaged_inputs_are_answered_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = [
        f"{folder}: {verdict.wrong}"
        for _, verdict, folder in damaged_inputs.run(39, 5, tmp_path)
        if verdict.wrong
    ]
    assert wrong == []
