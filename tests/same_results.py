"""Do two installations of lazynuma give the same results, to the last bit?

    python tests/same_results.py make DIR_A --python OLD/.venv/bin/python
    python tests/same_results.py make DIR_B --python NEW/.venv/bin/python
    python tests/same_results.py compare DIR_A DIR_B

``make`` runs a fixed list of cases with the ``lazynuma`` of an installation, with one
thread and with two, and writes a file of each into the directory.  ``compare`` compares
every dataset and every attribute of the two files of each case, and the file of one
thread with that of two.  What may differ between runs of equal input is left out:
the groups ``/run`` and ``/runtime``, and the root attributes that say who ran it, where
and when.  It exits with 1 on any difference, and if a file is missing or empty.

``make`` keeps files that exist, so a directory is for one installation.  A memory
script runs with one thread, whatever is asked for.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

THREADS = (1, 2)
SCRIPTS = Path(__file__).resolve().parent / "linux" / "linux-6.1"
TRACE = "trace.perf.data"
#: Groups and root attributes that may differ between two runs of equal input.
GROUPS = ("run", "runtime")
PROVENANCE = ("provenance", "softwareVersion", "versions", "date", "host", "command")
#: The value of /run/state of a run that came to its end.
DONE = 1

_THP = "thp.enabled=always tlb.enabled=true snapshots=0.2,0.5,1"
_NAMES = (
    "shmem/basic-shmem-policy",
    "khugepaged/khugepaged-104",
    "collapse/collapse-100",
    "swap/fuzz-swap-206",
    "policy/fuzz-policy-203",
    "balance/balance-101",
    "fork/fuzz-fork_migrate-201",
    "free/fuzz-free-1",
    "walk/fuzz-walk-2",
    "protect/fuzz-protect-2",
)


def _run(scenario: str, settings: str) -> list[str]:
    """Return the arguments that run a scenario with settings, KEY=VALUE KEY=VALUE."""
    return ["run", scenario, *(f"--set={one}" for one in settings.split())]


#: Arguments of ``lazynuma`` by the name of the case.
CASES = {
    "mechanisms": _run("mechanisms", "memory=16GiB"),
    "mechanisms_thp": _run("mechanisms", f"memory=16GiB {_THP}"),
    "thp_unit": _run("thp_unit", "memory=16GiB"),
    "autonuma_benchmark": _run("autonuma_benchmark", "shrink=4"),
    "tiering": _run("tiering", ""),
    "swap_space": _run("swap_space", "memory=64GiB,1TiB mapped=32MiB"),
    "perf_data": ["replay", TRACE, "--mechanism=lazy_migcache"],
    **{
        f"script_{what}": ["replay", f"{name}.mm"]
        for what, _, name in (one.partition("/") for one in _NAMES)
    },
}


# --- make -----------------------------------------------------------------------------


def make(directory: Path, python: str) -> None:
    """Write the file of each case and number of threads that ``directory`` lacks."""
    command = Path(python).absolute().with_name("lazynuma")
    if not command.is_file():
        sys.exit(f"--python must have lazynuma beside it, got {python}")
    directory.mkdir(parents=True, exist_ok=True)
    _prepare(directory)
    for name, arguments in CASES.items():
        for threads in THREADS:
            path = directory / _file(name, threads)
            if path.exists():
                print(f"{path.name}: is there")
                continue
            begin = time.monotonic()
            _make_one(command, arguments, threads, path)
            print(f"{path.name}: {time.monotonic() - begin:.1f} s", flush=True)


def _prepare(directory: Path) -> None:
    """Put the inputs into ``directory``: their paths are part of the results."""
    (directory / TRACE).write_bytes(trace())
    for arguments in CASES.values():
        if arguments[1].endswith(".mm"):
            text = (SCRIPTS / arguments[1]).read_bytes()
            (directory / arguments[1]).write_bytes(text)


def _make_one(command: Path, arguments: list[str], threads: int, path: Path) -> None:
    """Run one case; the file has its own name only when the run succeeded."""
    part = path.with_suffix(".part")
    options = [f"--threads={threads}", "--force", "-o", part.name]
    # PYTHONPATH could put one installation in the place of both.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [command, *arguments, *options],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{path.name}: exit status {done.returncode}: {done.stderr.strip()}")
    part.rename(path)


def _file(name: str, threads: int) -> str:
    return f"{name}-{threads}.h5"


def trace() -> bytes:
    """Return a ``perf.data`` file of ``perf mem``, always the same.

    Two processes of four threads read and write 16 MiB each; half-way each thread goes
    to another CPU.  There is a buffer for each CPU in each round, as perf writes it.
    """
    count, rounds = 60_000, 60
    number = np.arange(count, dtype=np.uint64)
    mixed = number * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(31)
    thread = mixed % np.uint64(8)
    sample = [(name, "<u8") for name in ("ip", "task", "time", "addr", "cpu", "src")]
    records = np.zeros(count, [("head", "<u8"), *sample])
    # The header of a record: type 9, misc 0 and its bytes.
    records["head"] = 9 | records.itemsize << 48
    records["task"] = (7 + thread // np.uint64(4)) | (100 + thread) << np.uint64(32)
    records["time"] = 1000 * number
    page = mixed >> np.uint64(20) & np.uint64(0xFFF)
    records["addr"] = 0x7F0000000000 + page * np.uint64(4096)
    records["cpu"] = 16 * ((thread + number // np.uint64(count // 2)) % np.uint64(8))
    records["src"] = 2 << (mixed >> np.uint64(40) & np.uint64(1))
    finished = (68 | 8 << 48).to_bytes(8, "little")
    body = b"".join(
        part[np.argsort(part["cpu"], kind="stable")].tobytes() + finished
        for part in np.split(records, rounds)
    )
    return _header(len(body)) + body


def _header(size: int) -> bytes:
    """Return what stands before ``size`` bytes of samples: file header, one event.

    The fields are those of ``struct perf_file_header`` and ``struct perf_event_attr``
    in Linux' tools/perf/util/header.h and include/uapi/linux/perf_event.h.
    """
    kinds = 1 | 2 | 4 | 8 | 1 << 7 | 1 << 15  # IP TID TIME ADDR CPU DATA_SRC
    attr = np.array([4 | 128 << 32, 0x1CD, 1, kinds, 0, 1 << 18], "<u8").tobytes()
    attrs = attr.ljust(128 + 16, b"\0")
    numbers = (104, 144, 104, len(attrs), 104 + len(attrs), size, 0, 0)
    head = b"PERFILE2" + np.array(numbers, "<u8").tobytes()
    return head.ljust(104, b"\0") + attrs


# --- compare --------------------------------------------------------------------------


def compare(first: Path, second: Path) -> bool:
    """Print a line for each case; return whether all files of both are the same."""
    files = [*first.glob("*-*.h5"), *second.glob("*-*.h5")]
    more = sorted({path.stem.rpartition("-")[0] for path in files})
    differences = 0
    for name in dict.fromkeys([*CASES, *more]):
        datasets, difference = _compare_case(name, first, second)
        verdict = f"DIFFERENT: {difference}" if difference else "same"
        print(f"{name}: {datasets} datasets, {verdict}")
        differences += bool(difference)
    print(f"{differences} cases differ" if differences else "all cases are the same")
    return not differences


def _compare_case(name: str, first: Path, second: Path) -> tuple[int, str]:
    """Return the datasets of a case that were compared, and what differs first."""
    one, two = (_file(name, threads) for threads in THREADS)
    # The second installation's two files are the same if all of these pairs are.
    pairs = (
        (first / one, second / one, PROVENANCE),
        (first / two, second / two, PROVENANCE),
        (first / one, first / two, (*PROVENANCE, "threads")),
    )
    total = 0
    for a, b, ignored in pairs:
        datasets, difference = compare_files(a, b, ignored)
        total += datasets
        if difference:
            return total, f"{a} and {b}: {difference}"
    return total, ""


def compare_files(a: Path, b: Path, ignored: Collection[str]) -> tuple[int, str]:
    """Return how many datasets of two files were compared, and what differs first.

    ignored  root attributes that may differ
    """
    for path in (a, b):
        if not path.is_file():
            return 0, f"{path} is missing"
    with h5py.File(a) as left, h5py.File(b) as right:
        for file in (left, right):
            if "run/state" not in file or file["run/state"][()] != DONE:
                return 0, f"{file.filename} is not of a run that is done"
        return _compare_objects(left, right, ignored)


def _compare_objects(
    left: h5py.File, right: h5py.File, ignored: Collection[str]
) -> tuple[int, str]:
    names = _objects(left)
    only = set(names) ^ set(_objects(right))
    if only:
        return 0, f"{min(only)} is in one of them only"
    datasets = values = 0
    for name in names:
        one, other = left[name], right[name]
        difference = _attributes(one, other, ignored if name == "/" else ())
        if not difference and isinstance(one, h5py.Dataset):
            difference = _datasets(one, other)
            datasets, values = datasets + 1, values + one.size
        if difference:
            return datasets, f"{name} {difference}"
    return datasets, "" if values else "there was no value to compare"


def _objects(file: h5py.File) -> list[str]:
    """Return the paths of all groups and datasets that must be the same."""
    names = []
    file.visit(names.append)
    return ["/", *(f"/{n}" for n in names if n.partition("/")[0] not in GROUPS)]


def _attributes(one: Any, other: Any, ignored: Collection[str]) -> str:
    """Return how the attributes of two objects differ, nothing if they do not."""
    names = [name for name in one.attrs if name not in ignored]
    only = set(names) ^ {name for name in other.attrs if name not in ignored}
    if only:
        return f"has the attribute {min(only)} in one of them only"
    for name in names:
        ids = one.attrs.get_id(name), other.attrs.get_id(name)
        values = (_plain(i.attrs[name], i.file) for i in (one, other))
        difference = _kinds(*ids) or _values(*values)
        if difference:
            return f"attribute {name} {difference}"
    return ""


def _datasets(one: h5py.Dataset, other: Any) -> str:
    if not isinstance(other, h5py.Dataset):
        return "is a dataset in one of them only"
    return _kinds(one, other) or _values(one[()], other[()])


def _kinds(one: Any, other: Any) -> str:
    """Return how two datasets or attributes differ in dtype or shape."""
    for what in ("dtype", "shape"):
        a, b = (repr(getattr(i, what)) for i in (one, other))
        if a != b:
            return f"has the {what} {a}, and {b}"
    return ""


def _values(one: Any, other: Any) -> str:
    """Return where two values of the same dtype and shape differ first."""
    if isinstance(one, list):
        one, other = repr(one), repr(other)
    a, b = np.asarray(one), np.asarray(other)
    if a.dtype.kind == "f":
        bits = f"u{a.itemsize}"
        same = (a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))
    else:
        same = np.asarray(a == b, bool)
    if same.all():
        return ""
    at = tuple(map(int, np.argwhere(~same)[0]))
    return f"at {list(at)} is {_excerpts(a[at], b[at])}"


def _excerpts(one: Any, other: Any) -> str:
    """Return both values; of long texts what is around their first difference."""
    texts = str(one), str(other)
    start = max(0, len(os.path.commonprefix(texts)) - 30)
    return ", and ".join(text[start : start + 80] for text in texts)


def _plain(value: Any, file: h5py.File) -> Any:
    """Return an attribute's value with names in the place of references.

    A reference is a place in the file, and that depends on when rows were written.
    """
    if isinstance(value, h5py.Reference):
        return h5py.h5r.get_name(value, file.id)
    if isinstance(value, np.ndarray) and value.dtype.kind in "OV":
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one, file) for one in value]
    return value


def main() -> None:
    """Read the command line, do what it says, and leave with the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make", help="write the files of one installation")
    one.add_argument("directory", type=Path)
    one.add_argument("--python", default=sys.executable, help="its python")
    two = commands.add_parser("compare", help="compare the files of two installations")
    two.add_argument("first", type=Path)
    two.add_argument("second", type=Path)
    options = parser.parse_args()
    if options.command == "make":
        make(options.directory, options.python)
    elif not compare(options.first, options.second):
        sys.exit(1)


if __name__ == "__main__":
    main()
