"""Record what a real Linux does with memory scripts: record.py DIR

Runs each DIR/NAME.mm in QEMU, twice and on a freshly started machine each time, and
writes what both runs agree on as DIR/NAME.json.  README.md says what it takes.
"""

import argparse
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare import COUNTERS, FILLED, filling, kind, place
from images import newest_kernel
from machines import Unrecorded, machine
from states import guest, run

__all__ = ["Unrecorded", "machine"]

RUNS = 2
#: Pages of the kernel's image, which is on another node each time.
IMAGE = 10240
#: Pages by which runs may differ that fill nodes, and by which a model may differ.
AGREED, TOLERANCE = IMAGE + FILLED // 2, IMAGE + FILLED

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


def joined(one, other, fills):
    """Return what two runs' records of one place agree on; None: nothing.

    fills  whether the script is about how nodes are filled
    """
    if one == other:
        return one
    if "counters" in one:
        return _joined_counters(one, other)
    if "runs" in one and fills:
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


def case(name, runs):
    """Return (a case from two runs' records, lines at which these did not agree)."""
    one, other = (cleaned(records) for records in runs)
    fills = "fallback" in name
    expect, lost = [], []
    for where in sorted({*one, *other}, key=lambda where: where[0]):
        both = where in one and where in other
        record = joined(one[where], other[where], fills) if both else None
        if record is None:
            lost.append(where[0])
        else:
            expect.append(record)
    kernel = kernel_name(runs[0][0])
    return {"script": f"{name}.mm", "kernel": kernel, "expect": expect}, lost


def kernel_name(record):
    """Return a kernel's name from the guest's first record."""
    debian = re.search(r"Debian (\d[\d.]*)", record["build"])
    release = record["kernel"]
    return f"Linux {debian[1]} (Debian {release})" if debian else f"Linux {release}"


def record(path, guest):
    """Record one script; return what there is to say of it."""
    try:
        script = path.read_text()
        runs = [run(script, guest, path.stem, number) for number in range(RUNS)]
    except Unrecorded as error:
        return f"not recorded: {error}"
    found, lost = case(path.stem, runs)
    text = json.dumps(found, separators=(",", ":"))
    path.with_suffix(".json").write_text(text + "\n")
    told = f"{len(found['expect'])} observations"
    return f"{told}, not stable at lines {lost}" if lost else told


def record_all(scripts, kernel=None, jobs=1, again=False, cache=None):
    """Record the scripts that are not yet, and print how it went."""
    scripts = [one for one in scripts if again or not one.with_suffix(".json").exists()]
    if not scripts:
        return
    with (
        guest(kernel or newest_kernel(), cache) as made,
        ThreadPoolExecutor(jobs) as pool,
    ):
        results = pool.map(lambda script: record(script, made), scripts)
        for script, result in zip(scripts, results, strict=True):
            print(f"{script.stem}: {result}", flush=True)


def add_arguments(parser):
    """Add the arguments that say how to record."""
    parser.add_argument("--kernel", type=Path, help="image of a kernel; /boot's newest")
    parser.add_argument(
        "--cache", type=Path, help="folder for started machines to stay"
    )
    parser.add_argument("--jobs", type=int, default=1, help="machines at a time")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of scripts, NAME.mm")
    parser.add_argument("--again", action="store_true", help="those with .json, too")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        scripts = sorted(given.folder.glob("*.mm"))
        record_all(scripts, given.kernel, given.jobs, given.again, given.cache)
    except Unrecorded as error:
        sys.exit(f"record.py: {error}")


if __name__ == "__main__":
    main()
