"""What is said where: on a terminal, in a pipe, in any locale, quietly or not."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = '''
"""Does it run?"""

from dataclasses import dataclass
from functools import partial

from lazynuma.engine import SUMMARY, Settings, Study, Uniform, Variant, preset


@dataclass(frozen=True)
class Parameters:
    names: tuple[str, ...] = ("a", "b")


def build(parameters):
    machine = preset("2s", 1 << 30)

    def steps(simulation, name):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, 64 * 4096)
        simulation.run([Uniform(task=task, region=region, count=1000)])
        if name == "fails":
            raise KeyError("x")

    variants = [
        Variant(name, machine, Settings(), partial(steps, name=name), 1000, 64)
        for name in parameters.names
    ]
    return Study(__doc__.strip(), "mechanism", tuple(variants), SUMMARY)
'''
RUN = [sys.executable, "-m", "lazynuma"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    for name in ("TERM", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def piped(*words, **environment):
    done = subprocess.run(
        [*RUN, *words],
        capture_output=True,
        env=os.environ | environment,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


def on_terminal(*words, **environment):
    """Return the exit status, and what a terminal of 80 columns was sent."""
    pid, screen = pty.fork()
    if not pid:
        os.execvpe(RUN[0], [*RUN, *words], os.environ | environment)
    sent = b""
    while True:
        try:
            some = os.read(screen, 1 << 16)
        except OSError:  # nobody writes any more
            break
        if not some:
            break
        sent += some
    os.close(screen)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), sent.decode()


def test_a_module_is_the_command(folder):
    status, out, _ = piped("--version")
    assert status == 0 and out.startswith(b"lazynuma ")
    assert piped("run", "nothing")[0] == 2
    status, out, _ = piped("run", "mine.py", "--jobs=2")  # workers import the module
    assert status == 0 and out.startswith(b"Does it run?")


def test_the_package_names_its_version():
    import lazynuma

    assert re.fullmatch(r"\d+\.\d+\.\d+.*", lazynuma.__version__)
    assert lazynuma.__doc__
    with pytest.raises(AttributeError, match="lazynuma has no 'walk'"):
        lazynuma.walk  # noqa: B018


def test_a_bar_is_on_a_terminal_alone(folder):
    status, sent = on_terminal("run", "mine.py", TERM="xterm")
    assert status == 0 and "a (1/2): " in sent and "%|" in sent
    status, sent = on_terminal("run", "mine.py", TERM="dumb")
    assert status == 0 and "%|" not in sent and "\r" not in sent.replace("\r\n", "")
    status, _, err = piped("run", "mine.py")
    assert status == 0 and err == b""


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_nothing_is_coloured(folder, environment):
    for words in (["--help"], ["run", "mine.py"], ["run", "none"]):
        _, sent = on_terminal(*words, TERM="xterm-256color", **environment)
        assert not re.search(r"\x1b\[[0-9;]*m", sent)


def test_quiet_leaves_the_results_and_the_errors(folder):
    Path("old.toml").write_text('scenario = "mine.py"\nversion = "0.0.1"\n')
    status, out, err = piped("run", "old.toml", "--uncertainty")
    assert status == 0 and b"warning" in err and b"runs with changed costs" in err
    status, quiet, err = piped("run", "old.toml", "--uncertainty", "-q")
    assert status == 0 and err == b""
    assert quiet.splitlines()[0] == out.splitlines()[0]
    status, sent = on_terminal("run", "mine.py", "--quiet", TERM="xterm")
    assert status == 0 and "%|" not in sent
    status, out, err = piped("run", "mine.py", "--set", "names=fails", "-q")
    assert status == 1 and out == b"" and err.startswith(b"lazynuma: KeyError")


def test_verbose_says_what_is_read_and_done(folder):
    Path("run.toml").write_text('scenario = "mine.py"\n')
    status, _, err = piped("run", "run.toml", "-v")
    lines = err.decode().splitlines()
    assert status == 0 and all(line.startswith("lazynuma: ") for line in lines)
    text = "\n".join(lines)
    assert "read run.toml" in text and "mine.py: 2 variants" in text
    assert "threads of each: " in text and "kernels in " in text
    assert re.search(r"^lazynuma: a: [\d.]+ s$", text, re.M)
    assert re.search(r"compiled \d+ kernels in [\d.]+ s; [\d.]+ s in all", text)


def test_quiet_and_verbose_are_refused_together(folder):
    status, _, err = piped("run", "mine.py", "-q", "-v")
    assert status == 2 and b"not allowed with" in err


def test_a_locale_without_unicode_is_no_reason_to_fail(folder):
    text = SCENARIO.replace("Does it run?", "L\u00e4uft es \u2014 \u2713?")
    Path("m\u00efne.py").write_text(text, encoding="utf-8")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["m\u00efne.py", "--save-config", "r\u00fcn.toml"]
    status, out, err = piped("run", *words, **locale)
    assert status == 0, err
    assert out.isascii() and err.isascii()
    status, again, _ = piped("run", "r\u00fcn.toml", "--dry-run", **locale)
    assert status == 0 and again.startswith(b"L\\xe4uft es")
