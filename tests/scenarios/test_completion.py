"""What TAB completes, asked as bash and zsh ask."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lazynuma.scenarios.cli import commands

pytest.importorskip("argcomplete")
#: As bash does it when TAB is pressed at the end of ``$1``.
ASK = """
source <(lazynuma completion bash)
COMP_LINE="$1"; COMP_POINT=${#1}; COMP_TYPE=9; COMPREPLY=()
read -ra COMP_WORDS <<<"$1"
[[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete lazynuma
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A folder to work in, and the command in the way of a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "lazynuma"
    code = "from lazynuma.scenarios.cli import console; console()"
    command.write_text(f"#!{sys.executable}\n# PYTHON_ARGCOMPLETE_OK\n{code}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.chdir(tmp_path)


def offered(typed):
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", typed], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    return [word.strip() for word in done.stdout.split("\n") if word.strip()]


@pytest.mark.parametrize(
    "typed, wanted",
    [
        ("lazynuma repl", {"replay"}),
        ("lazynuma run mech", {"mechanisms"}),
        ("lazynuma run mechanisms --save", {"--save-config"}),
        ("lazynuma run mechanisms --set eager", {"eager_by="}),
        ("lazynuma run mechanisms --set thp.en", {"thp.enabled="}),
        ("lazynuma run mechanisms --set eager_by=o", {"one"}),
        ("lazynuma run mechanisms --set cost.swap_in", {"cost.swap_in_ns="}),
        ("lazynuma run mechanisms --set eager_by=", {"one", "each"}),
        ("lazynuma run mechanisms --set thp=", {"never", "madvise", "always"}),
        ("lazynuma run scan_cap --set eager", set()),
        ("lazynuma run none --set memo", set()),
        ("lazynuma replay x --set mechanis", {"mechanism=", "mechanisms="}),
    ],
)
def test_words_are_offered(shell, typed, wanted):
    assert set(offered(typed)) == wanted


def test_files_of_ones_own_are_offered(shell):
    for name in ("mine.py", "mine.toml", "mine.h5"):
        Path(name).touch()
    assert set(offered("lazynuma run min")) == {"mine.py", "mine.toml"}
    Path("mine.toml").write_text('scenario = "scan_cap"\n')
    assert offered("lazynuma run mine.toml --set siz") == ["sizes="]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_takes_the_code(shell):
    code = 'eval "$(lazynuma completion zsh)"; print ${_comps[lazynuma]}'
    zsh = shutil.which("zsh")
    done = subprocess.run([zsh, "-fc", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("_python_argcomplete")


def test_other_shells_are_refused(capsys):
    assert commands.main(["completion", "tcsh"]) == 2
    assert "shell must be bash or zsh, got 'tcsh'" in capsys.readouterr().err


def test_a_missing_library_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert commands.main(["completion", "bash"]) == 2
    assert "pip install 'lazynuma[completion]'" in capsys.readouterr().err
