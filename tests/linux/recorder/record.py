"""Record what a real Linux does with memory scripts: record.py DIR

Runs each DIR/NAME.mm in QEMU, twice and on a freshly started machine each time, and
writes what both runs agree on as DIR/NAME.json.  README.md says what it takes.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import COUNTERS, FILLED, filling, kept, kind, place
from images import newest_kernel
from machines import machine
from packages import VERSION, fetched, from_file
from states import Failed, guest, run
from tools import Unrecorded

__all__ = ["Unrecorded", "guest", "machine", "newest_kernel", "run"]

RUNS = 2
#: How a package begins.
_PACKAGE = b"!<arch>"
#: Pages of the kernel's image, which is on another node each time.
IMAGE = 10240
#: Pages by which runs may differ that fill nodes, and by which a model may differ.
AGREED, TOLERANCE = IMAGE + FILLED // 2, IMAGE + FILLED
#: Words in the names of scripts of which no two runs are the same to the page: how
#: nodes are filled, which pages are evicted.
SUBJECTS = ("fallback", "evict")

# --- from runs to a case --------------------------------------------------------------


def cleaned(records):
    """Return the records that cases have, by line and kind."""
    found = {}
    for record in records:
        if "counters" in record:
            counters = record["counters"]
            owned = {name: counters[name] for name in COUNTERS if name in counters}
            record = record | {"counters": owned}
        if kind(record):
            found[place(record)] = record
    return found


def joined(one, other, about):
    """Return what two runs' records of one place agree on; None: nothing.

    about  of SUBJECTS, what the script is about; None: neither
    """
    if about == "evict":
        return _joined_kept(one, other)
    if one == other:
        return one
    if "counters" in one:
        return _joined_counters(one, other)
    if "runs" in one and about == "fallback":
        return _joined_filling(one, other)
    return None


def _joined_counters(one, other):
    counts = one["counters"], other["counters"]
    names = [name for name in COUNTERS if any(name in found for found in counts)]
    equal = {name for name in names if counts[0].get(name) == counts[1].get(name)}
    return {
        "line": one["line"],
        "counters": {name: counts[0][name] for name in names if name in equal},
        "unstable": sorted(set(names) - equal),
    }


def _joined_filling(one, other):
    (order, pages), (other_order, other_pages) = (
        filling(record["runs"]) for record in (one, other)
    )
    agreed = []
    for node, other_node in zip(order, other_order, strict=False):
        if node != other_node:
            break
        # The last node may have got the image's size less, or more.
        if (
            node != order[-1]
            or min(pages[str(node)], other_pages[str(node)]) > TOLERANCE
        ):
            agreed.append(node)
    means = {
        node: (pages.get(node, 0) + other_pages.get(node, 0)) // 2
        for node in sorted({*pages, *other_pages})
        if abs(pages.get(node, 0) - other_pages.get(node, 0)) <= AGREED
    }
    return {
        "line": one["line"],
        "proc": one["proc"],
        "region": one["region"],
        "fill_order": agreed,
        "node_pages": means,
        "tolerance_pages": TOLERANCE,
    }


def _joined_kept(one, other):
    found = {kept(record["runs"]) for record in (one, other) if "runs" in record}
    if len(found) != 1 or None in found:
        return None
    told = {key: one[key] for key in ("line", "proc", "region")}
    return told | {"kept": found.pop()}


def case(name, runs):
    """Return (a case from two runs' records, lines at which these did not agree)."""
    one, other = (cleaned(records) for records in runs)
    about = next((one for one in SUBJECTS if one in name), None)
    expect, lost = [], []
    for where in sorted({*one, *other}, key=lambda where: where[0]):
        both = where in one and where in other
        record = joined(one[where], other[where], about) if both else None
        if record is None:
            lost.append(where[0])
        else:
            expect.append(record)
    kernel = kernel_name(runs[0][0])
    found = {"script": f"{name}.mm", "kernel": kernel, "expect": expect}
    return found | ({"lost": lost} if lost else {}), lost


def kernel_name(record):
    """Return a kernel's name from the guest's first record."""
    debian = re.search(r"Debian (\d[\d.]*)", record["build"])
    release = record["kernel"]
    return f"Linux {debian[1]} (Debian {release})" if debian else f"Linux {release}"


def tried(script, guest, name, number):
    """Run a script; once more if it is the machine that failed."""
    try:
        return run(script, guest, name, number)
    except Failed:
        return run(script, guest, name, number)


def record(path, guest):
    """Record one script; return what there is to say of it."""
    script = path.read_text()
    try:
        runs = [tried(script, guest, path.stem, number) for number in range(RUNS)]
    except Unrecorded as error:
        return f"not recorded: {error}"
    found, lost = case(path.stem, runs)
    text = json.dumps(found, separators=(",", ":"))
    path.with_suffix(".json").write_text(text + "\n")
    told = f"{len(found['expect'])} observations"
    return f"{told}, not stable at lines {lost}" if lost else told


def image(kernel, suites, folder):
    """Return the image of a kernel that is given as one, as a package or a version."""
    if kernel is None:
        return newest_kernel()
    path = Path(kernel)
    if path.is_file():
        with path.open("rb") as file:
            packed = file.read(len(_PACKAGE)) == _PACKAGE
        is_package = packed or path.suffix == ".deb"
        return from_file(path, folder / "given") if is_package else path
    if not VERSION.fullmatch(kernel):
        raise Unrecorded(
            f"--kernel must be an image, a package or a version, got {kernel!r}"
        )
    return fetched(kernel, suites, folder / "kernels")


def record_all(scripts, given, again=False):
    """Record the scripts that are not yet, and print how it went.

    given  what ``add_arguments`` has read
    """
    scripts = [one for one in scripts if again or not one.with_suffix(".json").exists()]
    if not scripts:
        return
    with recording(given) as made, ThreadPoolExecutor(given.jobs) as pool:
        results = pool.map(lambda script: record(script, made), scripts)
        for script, result in zip(scripts, results, strict=True):
            print(f"{script.stem}: {result}", flush=True)


@contextlib.contextmanager
def recording(given):
    """Have the guest that runs start from, by what ``add_arguments`` has read."""
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        kernel = image(given.kernel, given.suite, given.cache or Path(temporary))
        with guest(kernel, given.cache) as made:
            yield made


def add_arguments(parser):
    """Add the arguments that say how to record."""
    add = parser.add_argument
    add("--kernel", help="an image, a package, or a version as 6.12; /boot's newest")
    add("--suite", action="append", default=[], help="one more suite to fetch it from")
    add("--cache", type=Path, help="folder in which kernels and machines stay")
    add("--jobs", type=_jobs, default=1, help="machines at a time")


def _jobs(word):
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"must be from 1 on, got {word!r}")
    return int(word)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of scripts, NAME.mm")
    parser.add_argument("--again", action="store_true", help="those with .json, too")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        scripts = sorted(given.folder.glob("*.mm"))
        record_all(scripts, given, given.again)
    except Unrecorded as error:
        sys.exit(f"record.py: {error}")


if __name__ == "__main__":
    main()
