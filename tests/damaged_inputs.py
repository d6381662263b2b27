"""Feed the command line what it may meet: 1,000 damaged inputs, each in a fork.

    python tests/damaged_inputs.py --count 1000 --seed 1

An input may be refused or run, but no answer may hold the text of a Python exception,
none may be given by a signal, and Ctrl-C must end whatever takes long.  What breaks a
rule is printed with the folder that has the input, and the exit status is 1.
"""

import argparse
import gzip
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

#: Seconds that a case may run before Ctrl-C, and then until it has ended.
LIMIT_S, GRACE_S = 8.0, 5.0
EXCEPTION = re.compile(
    r"[A-Z][a-z]\w*(Error|Exception|Interrupt|Warning)\b|Traceback|\w+\.pyx|"
    r"codec can't|object (has no|is not|of type)|(at|=) 0x[0-9a-f]{9}|errno|positional"
)
_PROGRESS = re.compile(
    r"simulated \d|saved to|compiling kernels|waiting for another process"
)
_OWN = re.compile(r"\(mine\.py, line \d+\)$")


class Case(NamedTuple):
    """What is run: a command line in the folder where the inputs lie."""

    kind: str
    arguments: list[str]


class Verdict(NamedTuple):
    """How a case ended: exit status, and what was wrong with it (empty: nothing)."""

    status: int
    wrong: str


# --- damage ---------------------------------------------------------------------------


def damage(random: Random, data: bytes) -> bytes:
    """Return ``data`` with a few bytes changed, cut, doubled or put in."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 10))):
        at = random.randrange(len(out) + 1)
        end = min(len(out), at + random.choice((1, 2, 8, 64)))
        how = random.randrange(6)
        if how == 0 and at < len(out):
            out[at] = random.randrange(256)
        elif how == 1:
            del out[at:end]
        elif how == 2:
            out[at:at] = out[at:end]
        elif how == 3:
            out[at:at] = random.randbytes(random.choice((1, 4, 30)))
        elif how == 4:
            del out[at : None if random.random() < 0.3 else end]
        else:
            out[at:end] = b"\xff" * (end - at)
    return bytes(out)


WORDS = (
    *("0", "-1", "1", "4K", "8M", "1T", "3h", "17p", "1.5", "1e9", "nan", "inf", ""),
    *("٨M", "８", "é", "\udcff", "\x1b[31m", "a/b", "a b", "'", '"', "[[", "{}", "="),
    *("9" * 5000, "9" * 25, "281474976710655", "9223372036854775807", "-" * 300),
    *("none", "true", "all", "main", "A", "0-3", "0,2", "0-99", "/dev/zero", "../x"),
)


def damage_words(random: Random, text: str) -> str:
    """Return a text with a few words of its lines changed, lost, doubled or moved."""
    lines = [line.split(" ") for line in text.splitlines()] or [[""]]
    for _ in range(random.choice((1, 1, 2, 3))):
        line = random.choice(lines)
        at = random.randrange(len(line)) if line else 0
        how = random.randrange(5)
        if how == 0 and line:
            line[at] = random.choice(WORDS)
        elif how == 1:
            line.insert(at, random.choice(WORDS))
        elif how == 2 and line:
            del line[at]
        elif how == 3:
            lines.insert(random.randrange(len(lines)), list(line))
        else:
            lines.remove(line)
            lines.insert(random.randrange(len(lines) + 1), line)
    return "\n".join(" ".join(line) for line in lines) + "\n"


def text_or_bytes(random: Random, data: bytes) -> bytes:
    if random.random() < 0.4:
        return damage(random, data)
    text = damage_words(random, data.decode("utf-8", "replace"))
    return text.encode("utf-8", "surrogateescape")


# --- kinds of input -------------------------------------------------------------------

SCRIPT = """\
machine nodes=2 mem=64M
set thp.enabled always
map A 4M
policy A bind 1
touch A 0 4M 4K w
observe A
fork kid
in kid touch A 0 1M 4K r
advise A dontneed 0 2M
protect A 0 4K r
move A 0 1M 0
khugepaged 1
counters
nodefree
sleep 5
exit kid
"""
NUMACTL = """\
available: 2 nodes (0-1)
node 0 cpus: 0 1
node 0 size: 256 MB
node 0 free: 100 MB
node 1 cpus: 2 3
node 1 size: 256 MB
node 1 free: 100 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""
RUN_FILE = """\
scenario = "mechanisms"
version = "0.1.0"
seed = 3
threads = 1
output = "x.h5"

[set]
memory = "64MiB"
mechanisms = ["none", "eager"]
"thp.enabled" = "always"
"cost.tlb_flush_ns" = 500
"""
COSTS = """\
# measured
[cost]
syscall_ns = 300
minor_fault_ns = 500
"""
LACKEY = "".join(f" {'LS'[i % 2]} {0x1FFE000000 + 4096 * i:x},8\n" for i in range(40))
PAGE_FAULTS = "".join(
    f"app 100/10{i % 2} [00{i % 3}] 1.0000{i:02d}: page-faults: {4096 * i + 65536:x}\n"
    for i in range(40)
)
SCENARIO = '''\
"""Does it run?"""
from dataclasses import dataclass
from lazynuma.engine import *


@dataclass(frozen=True)
class Parameters:
    size: int = 1 << 20


def build(parameters):
    machine = preset("2s", 1 << 28)

    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, parameters.size)
        simulation.run([Sweep(task=task, region=region, count=300)])
        simulation.mark(task, region, Mechanism.HINTING)
        return {}

    variants = [Variant("none", machine, Settings(), steps, 300, 256)]
    return Study("Does it run?", "mechanism", tuple(variants), SUMMARY)
'''
#: What a user's file may have instead of what it should.
SLIPS = (
    *("7", "-1", "None", "[]", "'x'", "1.5", "object()", "lambda *a: 1", "b'x'", "()"),
    *("'a/b'", "'a b'", "{'x': 1}", "2**70", "float('nan')", "'\\0'", "['a', 'b']"),
)
STATEMENTS = (
    "return 7",
    "return [1]",
    "return {'faults': 'x'}",
    "return {'faults': [1, 2]}",
    "raise ValueError('mine')",
    "raise GeneratorExit",
    "raise SystemExit(0)",
    "raise KeyboardInterrupt",
    "import sys; sys.exit('x')",
    "raise StopIteration",
    "1 / 0",
    "undefined",
    "open('/nowhere')",
    "[].x",
    "raise BaseException('mine')",
)


def mm(random: Random, box: "Box") -> list[str]:
    """A memory script."""
    Path("x.mm").write_bytes(text_or_bytes(random, random.choice(box.scripts)))
    return ["replay", "x.mm", *random.choice(((), ("--json",), ("-o", "x.h5")))]


def trace(random: Random, box: "Box") -> list[str]:
    """A trace: text of perf script or lackey, perf.data, or these as gzip."""
    data = random.choice(box.traces)
    data = text_or_bytes(random, data) if data.isascii() else damage(random, data)
    if random.random() < 0.3:
        data = gzip.compress(data)
        data = damage(random, data) if random.random() < 0.6 else data
    Path("x.trace").write_bytes(data)
    more = random.choice(((), ("--skip-bad-lines",), ("-o", "x.h5"), ("--json",)))
    return ["replay", "x.trace", "--machine", "2s", *more]


def hdf5(random: Random, box: "Box") -> list[str]:
    """The file of a run: finished, or killed; or another HDF5 file."""
    data = bytearray(random.choice(box.files))
    reach = random.choice((200, 20_000, len(data)))
    for _ in range(random.choice((1, 1, 3, 10))):
        data[random.randrange(min(reach, len(data)))] = random.randrange(256)
    if random.random() < 0.1:
        del data[random.randrange(len(data)) :]
    Path("x.h5").write_bytes(data)
    return ["info", "x.h5", *random.choice(((), ("--recover",)))]


def foreign(random: Random, box: "Box") -> list[str]:
    """An HDF5 file that says it is ours, and is not."""
    import h5py

    with h5py.File("x.h5", "w") as file:
        file.attrs["filetype"] = random.choice(("lazynuma-run", "statepoint", 7))
        file.attrs["version"] = random.choice(([1, 0], 1, "x", [9], []))
        file.attrs["title"] = random.choice(("t", "\x1b]0;owned\x07\nstate done", 7))
        for name in ("summary", "epochs", "processes", "events", "snapshots", "run"):
            how = random.randrange(6)
            if how == 0:
                file[name] = h5py.SoftLink("/x")
            elif how == 1:
                file[name] = h5py.ExternalLink("/etc/passwd", "/")
            elif how == 2:
                file[name] = 3
            elif how < 5:
                _fill(random, file.create_group(name))
    return ["info", "x.h5", *random.choice(((), ("--recover",)))]


def _fill(random: Random, group) -> None:
    group.attrs["dimension"] = random.choice(("mechanism", "epoch", 7, ""))
    for name in ("mechanism", "state", "epoch", "row", "event", "snapshot", "time_ns"):
        if random.random() < 0.7:
            values = random.choice((9, "x", [1, 2], b"\xff", [[1.5]]))
            group[name] = values
    if random.random() < 0.3:
        outside = [("/etc/passwd", 0, 64)]
        group.create_dataset("outside", (64,), "u1", external=outside)


def settings(random: Random, box: "Box") -> list[str]:
    """A value of ``--set``."""
    key, _, value = random.choice(box.settings).partition("=")
    value = random.choice((*WORDS, "[" * 3000, value + random.choice(WORDS)))
    if random.random() < 0.2:
        key = random.choice((key[:-1], key + "x", *WORDS))
    pair = f"{key}={value}".replace("\0", "")
    return ["run", "mechanisms", "--set", "memory=64MiB", "--set", pair]


def command(random: Random, box: "Box") -> list[str]:
    """A command line."""
    line = random.choice(
        (
            "run mechanisms --set memory=64MiB -o x.h5 --seed 3 --threads 1",
            "replay x.mm --profile linux-6.1 --json",
            "replay x.mm -o x.h5 --force",
            "info x.h5 --recover",
            "scenarios",
            "run /etc/passwd",
            "info pipe",
            "replay dir.mm",
            "run mechanisms --costs /dev/zero",
            "run mechanisms --set machine=/dev/zero",
        )
    )
    Path("x.mm").write_text(SCRIPT)
    os.mkfifo("pipe")
    Path("dir.mm").mkdir()
    words = damage_words(random, line).strip("\n").replace("\n", " ").split(" ")
    return [word for word in words if word not in ("calibrate", "/dev/zero")]


def costs(random: Random, box: "Box") -> list[str]:
    """A file of costs."""
    extra = random.choice(("", "x = " + "[" * 3000, "[cost]\n", "y = 9" + "9" * 5000))
    data = text_or_bytes(random, (COSTS + extra).encode())
    Path("x.toml").write_bytes(data)
    return ["run", "mechanisms", "--set", "memory=64MiB", "--costs", "x.toml"]


def run_file(random: Random, box: "Box") -> list[str]:
    """A run in a file, and perhaps a copy of what it came to."""
    Path("x.toml").write_bytes(text_or_bytes(random, RUN_FILE.encode()))
    return ["run", "x.toml", *random.choice(((), ("--save-config", "y.toml")))]


def numactl(random: Random, box: "Box") -> list[str]:
    """The text of numactl --hardware."""
    Path("x.txt").write_bytes(text_or_bytes(random, NUMACTL.encode()))
    Path("x.lackey").write_text(LACKEY)
    return ["replay", "x.lackey", "--machine", "x.txt", "--set", "memory=512MiB"]


def scenario(random: Random, box: "Box") -> list[str]:
    """A scenario of a user's own that hands over something else."""
    lines = SCENARIO.splitlines()
    if random.random() < 0.5:
        at = random.randrange(8, len(lines))
        indent = re.match(" *", lines[at])[0]
        lines.insert(at, indent + random.choice(STATEMENTS))
    else:
        places = [
            (number, word)
            for number, line in enumerate(lines[10:], 10)
            for word in re.finditer(r"[\w.\"]+", line)
        ]
        number, word = random.choice(places)
        slip, line = random.choice(SLIPS), lines[number]
        lines[number] = line[: word.start()] + slip + line[word.end() :]
    Path("mine.py").write_text("\n".join(lines) + "\n")
    return ["run", "mine.py", *random.choice(((), ("-o", "x.h5")))]


KINDS: tuple[Callable[[Random, "Box"], list[str]], ...] = (
    *(mm, mm, trace, trace, hdf5, hdf5, foreign),
    *(settings, command, costs, run_file, numactl, scenario, scenario),
)


class Box:
    """Good inputs, which the kinds damage."""

    def __init__(self, folder: Path) -> None:
        from common.run_files import counters, process, writer
        from lazynuma.engine.output.reader import RunState
        from lazynuma.engine.settings.parameters import describe
        from lazynuma.scenarios import mechanisms

        cases = sorted((HERE / "linux" / "linux-6.1").glob("basic-*.mm"))
        self.scripts = [SCRIPT.encode()] + [one.read_bytes() for one in cases[:6]]
        packed = sorted((HERE / "data").glob("*.gz"))
        self.traces = [gzip.decompress(one.read_bytes()) for one in packed]
        self.traces = [one for one in self.traces if len(one) < 1 << 20]
        self.traces += [LACKEY.encode(), PAGE_FAULTS.encode()]
        self.settings = [f"{k}={v}" for k, v, _ in describe(mechanisms.Parameters)]
        self.settings.append("cost.syscall_ns=500")
        file = writer(folder / "good.h5")
        for epoch in range(5):
            file.epoch(0, epoch, counters(epoch), [process(0)])
        file.flush()
        killed = (folder / "good.h5").read_bytes()
        file.close(RunState.DONE)
        self.files = [(folder / "good.h5").read_bytes(), killed]


# --- running --------------------------------------------------------------------------


def run(count: int, seed: int, keep: Path) -> Iterator[tuple[Case, Verdict, Path]]:
    """Run ``count`` cases; yield each, its verdict, and its folder below ``keep``."""
    _warm(keep)
    box = Box(keep)
    for number in range(count):
        random = Random(f"{seed} {number}")
        kind = KINDS[number % len(KINDS)]
        folder = keep / f"{number:05d}-{kind.__name__}"
        folder.mkdir()
        os.chdir(folder)
        case = Case(kind.__name__, kind(random, box))
        Path("command.txt").write_text(shlex.join(case.arguments), "utf-8", "replace")
        verdict = _run(case)
        os.chdir(keep)
        yield case, verdict, folder
        if not verdict.wrong:
            shutil.rmtree(folder)


def _warm(folder: Path) -> None:
    """Load once what every case needs, so that a fork has it."""
    import contextlib
    import io

    from lazynuma.scenarios.cli import main

    os.chdir(folder)
    Path("warm.mm").write_text(SCRIPT)
    Path("mine.py").write_text(SCENARIO)
    Path("warm.lackey").write_text(LACKEY)
    lines = ("replay warm.mm", "replay warm.lackey --machine 2s", "run mine.py")
    for line in lines:
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(line.split()) == 0, line


def _run(case: Case) -> Verdict:
    child = os.fork()
    if not child:
        _child(case)
    status, late = _wait(child, LIMIT_S), False
    if status is None:
        late = True
        os.kill(child, signal.SIGINT)
        status = _wait(child, GRACE_S)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Verdict(-1, "hangs, Ctrl-C does not end it")
    if os.WIFSIGNALED(status):
        return Verdict(-1, f"ended by signal {os.WTERMSIG(status)}")
    return Verdict(os.WEXITSTATUS(status), _wrong(case, os.WEXITSTATUS(status), late))


def _child(case: Case) -> None:
    """Run the command line as a process of its own would."""
    for number, name in enumerate(("/dev/null", "stdout", "stderr")):
        flags = os.O_RDWR if number == 0 else os.O_CREAT | os.O_WRONLY
        os.dup2(os.open(name, flags), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, "r" if number == 0 else "w", 1, closefd=False)
        for number in range(3)
    )
    sys.argv = ["lazynuma", *case.arguments]
    from lazynuma.scenarios.cli import console

    try:
        console()
    finally:
        os._exit(99)


def _wait(child: int, limit_s: float) -> int | None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    return None


def _wrong(case: Case, status: int, late: bool) -> str:
    """Return what is wrong with an answer."""
    lines = Path("stderr").read_text("utf-8", "replace").splitlines()
    said = [line for line in lines if not line.startswith("lazynuma: warning:")]
    said = [line for line in said if not _PROGRESS.search(line)]
    if late:
        ended = status == 130 and said == ["lazynuma: stopped by SIGINT"]
        return "" if ended or status in (0, 1, 2) else f"Ctrl-C gives {status}: {said}"
    if status not in (0, 1, 2) and not (status == 130 and "Interrupt" in _source()):
        return f"exit status {status}: {said}"
    if len(said) != (status != 0) or any(
        not one.startswith("lazynuma: ") for one in said
    ):
        return f"exit status {status}, {len(said)} lines: {said[-3:]}"
    for line in said:
        own = case.kind == "scenario" and _OWN.search(line)
        if "fault of lazynuma" in line or (EXCEPTION.search(line) and not own):
            return line
        if re.search(r"[\x00-\x1f\x7f-\x9f]", line):
            return f"control characters: {line!r}"
    return ""


def _source() -> str:
    mine = Path("mine.py")
    return mine.read_text() if mine.exists() else ""


def main() -> int:
    """Run the cases that the command line asks for, and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    keep = Path(tempfile.mkdtemp(prefix="fuzz-"))
    counts: Counter = Counter()
    bad = 0
    for case, verdict, folder in run(options.count, options.seed, keep):
        counts[case.kind, verdict.status] += 1
        if verdict.wrong:
            bad += 1
            print(f"{folder}: {verdict.wrong[:400]}", flush=True)
    for (kind, status), number in sorted(counts.items()):
        print(f"{kind:10} exit {status:3}: {number}")
    print(f"{options.count} inputs, {bad} wrong")
    if not bad:
        shutil.rmtree(keep)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
