"""Compiled kernels are kept safely, and one process compiles for all."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from lazynuma.kernels.jit import cache_dir

pytestmark = pytest.mark.skipif(
    os.environ.get("LAZYNUMA_PUBLIC_NUMBA") == "1"
    or os.environ.get("NUMBA_DISABLE_JIT") == "1",
    reason="nothing is kept on disk",
)

#: Compiles one small kernel, and says what it did.
CODE = """
from lazynuma.kernels.jit.compiling import compiled
compiled.tell = lambda one: print(one, flush=True)
from lazynuma.kernels.draws import key_of
print(key_of(1, 2), compiled.kernels)
"""

MAIN = "import sys; from lazynuma.scenarios.cli import main; sys.exit(main())"


def start(place, code=CODE, **options):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(place)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(place, code=CODE, **options):
    """Return the lines of a process that used the cache in ``place``."""
    process = start(place, code, **options)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines()


def lock_of(place):
    """Return the file which a process locks while it compiles the kernel."""
    found = list(place.rglob("draws.key_of*.lock"))
    assert len(found) == 1
    return found[0]


def test_a_kernel_is_compiled_once(tmp_path):
    first, result = run(tmp_path)
    assert first.startswith("Compiling(number=1, most=") and "waiting=False" in first
    assert run(tmp_path) == [result.replace(" 1", " 0")]


def test_kinds_of_cpu_share_a_place(tmp_path, monkeypatch):
    """Nodes of several kinds compile at once, each once, and none loads another's."""
    kinds = ["generic", "x86-64-v2", "generic", "x86-64-v2"]
    begun = []
    for kind in kinds:
        monkeypatch.setenv("NUMBA_CPU_NAME", kind)
        monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
        begun.append(start(tmp_path))
    ended = [process.communicate(timeout=300)[0].splitlines()[-1] for process in begun]
    result = ended[0].split()[0]
    assert sorted(ended) == [f"{result} 0"] * 2 + [f"{result} 1"] * 2
    for kind in kinds[:2]:
        monkeypatch.setenv("NUMBA_CPU_NAME", kind)
        assert run(tmp_path) == [f"{result} 0"]


def test_others_can_write_no_file_of_it(tmp_path):
    place = tmp_path / "new" / "place"
    run(place, umask=0)
    for path in [place, *place.rglob("*")]:
        assert path.stat().st_mode & 0o022 == 0, path


def test_a_damaged_file_is_compiled_again(tmp_path):
    result = run(tmp_path)[-1]
    for suffix in ("nbi", "nbc"):
        for path in tmp_path.rglob(f"draws.key_of*.{suffix}"):
            path.write_bytes(path.read_bytes()[:20])
        assert run(tmp_path)[-1] == result
        assert run(tmp_path) == [result.replace(" 1", " 0")]


def test_a_place_that_is_none_costs_only_the_time(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    assert run(place)[-1] == run(place)[-1]
    assert place.read_text() == ""


def test_one_waits_while_another_compiles(tmp_path):
    result = run(tmp_path)[-1]
    lock = lock_of(tmp_path)
    for path in tmp_path.rglob("draws.key_of*.nb?"):
        path.rename(path.with_suffix(path.suffix + ".away"))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiter = start(tmp_path)
        assert "waiting=True" in waiter.stdout.readline()
        for path in tmp_path.rglob("*.away"):
            path.rename(path.with_suffix(""))
    out, _ = waiter.communicate(timeout=300)
    assert out.splitlines()[-1] == result.replace(" 1", " 0")


def test_a_killed_process_keeps_nobody_waiting(tmp_path):
    code = CODE.replace(
        "print(one, flush=True)", "(print(one, flush=True), sleep(300))"
    )
    killed = start(tmp_path, f"from time import sleep\n{code}")
    assert "waiting=False" in killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert lock_of(tmp_path).exists()
    begin = time.monotonic()
    assert "waiting=True" not in run(tmp_path)[0]
    assert time.monotonic() - begin < 300


def test_a_place_that_others_can_write_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    ours = cache_dir.trusted_dir()
    ours.mkdir()
    kept = ours / "draws.key_of.nbi"
    kept.touch()
    for path in (tmp_path, ours, kept):
        mode = path.stat().st_mode
        for more in (0o020, 0o002):
            path.chmod(mode | more)
            with pytest.raises(cache_dir.CacheRefused, match="by you alone"):
                cache_dir.trusted_dir()
        path.chmod(mode)
    assert cache_dir.trusted_dir() == ours


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_place_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(cache_dir.CacheRefused, match="owned by you or root"):
        cache_dir.trusted_dir()


def test_the_command_line_refuses_it_in_one_line(tmp_path):
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "warm"],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "lazynuma: kernel cache must be writable by you alone"
    )


def test_a_kernel_of_another_file_is_kept_by_what_is_in_it(tmp_path):
    source = tmp_path / "mine.py"
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mine import double\n"
        "from lazynuma.kernels.jit.compiling import compiled\n"
        "print(double(3), compiled.kernels)"
    )
    text = "from lazynuma.kernels.jit.compile import kernel\n@kernel\ndef double(x):\n"
    place = tmp_path / "cache"
    source.write_text(f"{text}    return 2 * x\n")
    assert run(place, code) == ["6 1"]
    assert run(place, code) == ["6 0"]
    source.write_text(f"{text}    return 3 * x\n")
    assert run(place, code) == ["9 1"]
