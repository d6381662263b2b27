"""The command line: results, refusals, failures, signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

import lazynuma.scenarios.recorded.replay  # noqa: F401
from lazynuma.engine import run
from lazynuma.engine.errors import BadInput
from lazynuma.scenarios import recorded
from lazynuma.scenarios.cli import commands, find
from lazynuma.scenarios.cli.signals import Stop, Stopped

SCENARIO = '''
"""Ask whether a scenario file runs."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from lazynuma.engine import SUMMARY, Settings, Study, Variant, preset


@dataclass(frozen=True)
class Parameters:
    memory: int = field(default=1 << 30, metadata={"kind": "size", "help": "RAM"})
    mapped_pages: int = 16
    failure: str = "none"


def build(parameters: "Parameters") -> Study:
    def steps(simulation):
        if parameters.failure == "bug":
            raise ZeroDivisionError("by zero\\nof course")
        if parameters.failure == "disk":
            raise OSError(28, "No space left on device")
        if parameters.failure == "late":
            preset("nowhere")
        if parameters.failure in ("stuck", "slow"):
            Path("started").touch()
            time.sleep(60 if parameters.failure == "stuck" else 0.2)
            simulation.observer.progress(0, 0)
        return {}

    if parameters.failure == "build":
        return None
    machine = preset("2s", parameters.memory)
    settings = Settings()
    variants = [
        Variant(name, machine, settings, steps, 0, parameters.mapped_pages)
        for name in ("none", "eager")
    ]
    return Study("Does it run?", "mechanism", tuple(variants), SUMMARY)
'''
README = Path(__file__).parents[2] / "README.md"
RUN = [
    sys.executable,
    "-c",
    "import sys, lazynuma.scenarios.cli as c; sys.exit(c.main())",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a scenario file of a user in it."""
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state_of(path):
    with h5py.File(path) as file:
        return int(file["run/state"][()])


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lazynuma: ") and err.endswith("\n") and err.count("\n") == 1
    return err


# --- what runs ------------------------------------------------------------------------


def test_help_needs_no_heavy_import():
    code = (
        "import sys, lazynuma.scenarios.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numba', 'h5py', 'numpy', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n")


def test_version_names_the_libraries(capsys):
    assert commands.main(["--version"]) == 0
    assert "numba" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mine.py", "./mine.py"])
def test_own_file_runs_to_a_table(folder, capsys, name):
    assert commands.main(["run", name, "--set", "memory=2GiB"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Does it run?"
    assert [line.split()[0] for line in lines[-2:]] == ["none", "eager"]


def test_run_writes_the_file_it_was_asked_for(folder, capsys):
    assert commands.main(["run", "mine.py", "-o", "out.h5", "--seed", "7"]) == 0
    assert capsys.readouterr().out.endswith("\nwritten to out.h5\n")
    with h5py.File("out.h5") as file:
        assert file.attrs["seed"] == 7
        assert file.attrs["command"] == "lazynuma run mine.py -o out.h5 --seed 7"
        assert json.loads(file.attrs["parameters"])["memory"] == 1 << 30
        assert json.loads(file.attrs["costs"])["syscall_ns"] == 500
        assert file["summary/accesses"].shape == (2,)
    assert state_of("out.h5") == 1


def test_the_verdict_is_on_the_screen_in_the_file_and_in_json(folder, capsys):
    assert commands.main(["run", "mine.py", "-o", "out.h5"]) == 0
    title, verdict, *_ = capsys.readouterr().out.split("\n\n")
    assert title == "Does it run?"
    with h5py.File("out.h5") as file:
        assert file.attrs["verdict"].decode() == " ".join(verdict.split())


def test_explain_says_what_the_columns_mean(folder, capsys):
    assert commands.main(["run", "mine.py", "--explain"]) == 0
    out = capsys.readouterr().out
    assert "share of local accesses over the whole run" in out
    assert "time that this machine took" in out


def test_settings_of_all_variants_can_be_set_in_an_own_file(folder, capsys):
    sets = ["--set", "kernel.numa_balancing=1", "--set", "swap=64MiB"]
    assert commands.main(["run", "mine.py", "-o", "out.h5", *sets]) == 0
    with h5py.File("out.h5") as file:
        parameters = json.loads(file.attrs["parameters"])
    assert parameters["balancing.mode"] == 1 and parameters["swap_bytes"] == "64MiB"
    assert parameters["memory"] == 1 << 30


def test_force_replaces_a_file(folder):
    (folder / "out.h5").write_text("old")
    assert commands.main(["run", "mine.py", "-o", "out.h5", "--force"]) == 0
    assert state_of("out.h5") == 1


def test_example_of_the_readme_runs(folder, capsys):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = [text for text in examples if "def build" in text]
    (folder / "readme.py").write_text(example)
    assert commands.main(["run", "readme.py", "--set", "size=4MiB"]) == 0
    none, hinting = capsys.readouterr().out.splitlines()[-2:]
    assert none.split()[:2] == ["none", "0"]
    assert hinting.split()[:2] == ["hinting", "1,024"]


def test_scenarios_lists_each_with_its_parameters(monkeypatch, folder, capsys):
    monkeypatch.setattr(find, "scenario_names", lambda: ["mine"])
    monkeypatch.setattr(
        find, "scenario_module", lambda name: find.find_scenario(f"{name}.py")
    )
    assert commands.main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine  Ask whether a scenario file runs."
    assert lines[1].startswith("      memory=1GiB, ")


def test_scenarios_explains_one_with_choices_and_units(capsys):
    assert commands.main(["scenarios", "mechanisms"]) == 0
    out = capsys.readouterr().out
    assert "memory=1TiB" in out and "RAM of the machine" in out
    assert "never, madvise," in out and "(ms)" in out
    assert "machines: 2s, 4s" in out
    assert max(map(len, out.splitlines())) <= 88


def test_help_after_a_scenario_has_its_parameters(folder, capsys):
    for arguments, wanted in ((["mine.py", "-h"], "memory=1GiB"), (["-h"], "--seed")):
        with pytest.raises(SystemExit) as stopped:
            commands.main(["run", *arguments])
        assert stopped.value.code == 0
        assert wanted in capsys.readouterr().out


def test_an_option_that_is_a_parameter_is_hinted_at(capsys):
    for given in (["--memory", "8GiB"], ["--memory=8GiB"]):
        assert commands.main(["run", "mechanisms", *given]) == 2
        assert "did you mean --set memory=8GiB?" in capsys.readouterr().err


def test_our_scenarios_are_not_the_modules_beside_them():
    assert not {"cli", "table", "replay", "__init__"} & set(find.scenario_names())


def test_run_prints_one_json_object(folder, capsys):
    assert commands.main(["run", "mine.py", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["mechanism"] for row in printed["rows"]] == ["none", "eager"]
    assert printed["question"] == "Does it run?"
    assert isinstance(printed["verdict"], str)
    assert isinstance(printed["rows"][0]["run_time_ns"], int)


def test_replay_prints_one_json_object(folder, capsys, monkeypatch):
    (folder / "trace.py").write_text(
        SCENARIO.replace("failure: str", "file: str = ''\n    failure: str")
        .replace("failure: str", "machine: str = '2s'\n    failure: str", 1)
        .replace("failure: str", "skip_bad_lines: bool = False\n    failure: str", 1)
    )
    monkeypatch.setattr(recorded, "replay", find.find_scenario("trace.py"))
    assert commands.main(["replay", "some.txt", "--machine", "4s", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["mechanism"] for row in rows] == ["none", "eager"]
    assert rows[0]["pages_refused_by"]["no_swap_slot"] == 0
    assert rows[0]["local_fraction"] is None  # it made no access


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "a command must be given"),
        ("rum", "invalid choice: 'rum'"),
        ("run", "required: SCENARIO"),
        ("run nowhere", "scenario must be one of"),
        ("run nowhere.py", "scenario must be a file that exists, got nowhere.py"),
        ("run broken.py", "broken.py must import, got SyntaxError"),
        ("run raising.py", "must import, got KeyError: 'x' (raising.py, line 2)"),
        ("run empty.py", "must define a dataclass Parameters"),
        ("run half.py", "must define build(parameters)"),
        ("run mine.py --set failure=build", "build must return a Study, got NoneType"),
        ("run mine.py --set memroy=1GiB", "did you mean memory"),
        ("run mine.py --set memory", "a setting must read KEY=VALUE, got 'memory'"),
        ("run mine.py --set memory=1GoB", "memory must be a size"),
        ("run mine.py --set mapped_pages=-1", "mapped_pages must be at least 0"),
        ("run mine.py --set cost.syscall_ns=-1", "cost.syscall_ns must be at least 0"),
        ("run mine.py --set cost.sysall_ns=1", "did you mean cost.syscall_ns"),
        (
            "run mine.py --set mapped_pages=1000000000000",
            "18.19 TiB for mechanism none",
        ),
        ("run mine.py --set thp.enabled=no", "thp.enabled must be one of never"),
        ("run mine.py --set vm.swappiness=1", "it does not model 'vm.swappiness'"),
        ("run mine.py --set policy=bind:7", "policy must have nodes of 2s, 0, 1"),
        ("run mine.py --seed -1", "--seed: must be an integer from 0"),
        ("run mine.py --threads 0", "--threads: must be an integer from 1"),
        ("run mine.py --forc", "unrecognized arguments: --forc"),
        ("run mine.py -o there.h5", "output must not exist unless --force is given"),
        ("run mine.py -o no/out.h5", "output must lie in a directory that exists"),
        ("run mine.py -o .", "output must be a file, got the directory"),
        ("run mine.py -o /proc/out.h5", "output must be writable, got /proc/out.h5"),
        ("replay script.mm", "file must be readable, got script.mm"),
        ("info nowhere.h5", "nowhere.h5"),
        ("info there.h5", "there.h5"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(folder, capsys, arguments, message):
    (folder / "broken.py").write_text("def build(:\n")
    (folder / "raising.py").write_text("\n{}['x']\n")
    (folder / "empty.py").write_text("")
    (folder / "half.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Parameters: pass\n"
    )
    (folder / "there.h5").write_text("old")
    if "-o" not in arguments and "mine.py" in arguments:
        arguments += " -o out.h5"
    assert commands.main(arguments.split()) == 2
    assert message in one_line(capsys)
    assert not (folder / "out.h5").exists()
    assert (folder / "there.h5").read_text() == "old"


def test_directory_without_write_permission_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadInput, match="output must be writable"):
        run.check_output("out.h5", force=False)


def test_near_scenario_is_offered(monkeypatch, capsys):
    monkeypatch.setattr(find, "scenario_names", lambda: ["mechanisms", "next_touch"])
    assert commands.main(["run", "mecanism"]) == 2
    assert "(did you mean mechanisms?)" in one_line(capsys)


def test_warning_is_one_line(folder, capsys):
    text = "import warnings\nwarnings.warn('SLIT is\\nodd')\n" + SCENARIO
    (folder / "mine.py").write_text(text)
    assert commands.main(["run", "mine.py"]) == 0
    assert capsys.readouterr().err == "lazynuma: warning: SLIT is odd\n"


# --- what fails or is stopped ---------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("bug", "ZeroDivisionError: by zero of course (mine.py, line "),
        ("disk", "No space left on device"),
        ("late", "nowhere"),
    ],
)
def test_failure_in_mid_run_leaves_a_readable_file(folder, capsys, failure, message):
    arguments = ["run", "mine.py", "-o", "out.h5", "--set", f"failure={failure}"]
    assert commands.main(arguments) == 1
    assert message in one_line(capsys)
    assert state_of("out.h5") == 3


@pytest.mark.parametrize("failure", ["slow", "stuck"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_with_the_file_closed(folder, signum, failure):
    process = subprocess.Popen(
        [*RUN, "run", "mine.py", "-o", "out.h5", "--set", f"failure={failure}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "started").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signum
    assert err == f"lazynuma: stopped by {signum.name}\n"
    assert state_of("out.h5") == 2


def test_signal_handlers_are_put_back(folder):
    before = signal.getsignal(signal.SIGINT)
    assert commands.main(["run", "mine.py"]) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_second_signal_changes_nothing():
    stop = Stop()
    with pytest.raises(Stopped):
        stop.ask(signal.SIGTERM, None)
    stop.ask(signal.SIGINT, None)
    with pytest.raises(Stopped) as stopped:
        stop.check()
    assert stopped.value.signum == signal.SIGTERM


def test_reader_that_leaves_is_no_error(folder):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*RUN, "run", "mine.py"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
