"""Compare records: what Linux did with a memory script, and what lazynuma does.

compare.py DIR [NAME ...] runs `lazynuma replay` on the cases and prints what differs:
what Linux said and lazynuma does not say, and calls that fail and processes that are
killed in lazynuma alone.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

#: Counters that a script can own: nobody else on the machine counts in them.
COUNTERS = (
    "thp_fault_alloc thp_fault_fallback thp_collapse_alloc thp_collapse_alloc_failed"
    " thp_split_page thp_split_page_failed thp_deferred_split_page thp_split_pmd"
    " thp_migration_success thp_migration_fail thp_migration_split thp_swpout"
    " thp_swpout_fallback pswpin pswpout oom_kill pgmigrate_fail"
    " pgpromote_success pgdemote_kswapd pgdemote_direct"
).split()
#: What a record is about: the first of these keys that it has.
KINDS = ("region", "counters", "result", "killed", "status")
#: Of these, what Linux did not have is a difference, too.
FAILURES = ("result", "killed")
#: Equal pages in a row that say that their node was being filled.
FILLED = 2048
#: One page of so many that is in memory, or is not, says nothing of its region.
STRAY = 16
#: Seconds that a replay may take.
PATIENCE = 300
#: Characters of a record that are shown.
SHOWN = 300


def kind(record):
    """Return what a record is about; None where it is of no interest."""
    return next((one for one in KINDS if one in record), None)


def place(record):
    """Return what tells a script's records apart."""
    return record["line"], kind(record)


def filling(runs):
    """Return (nodes in the order in which they were filled, pages by node)."""
    pages, order = {}, []
    for count, state, node, _huge in runs:
        if state != "present":
            continue
        pages[str(node)] = pages.get(str(node), 0) + count
        if count >= FILLED and node not in order:
            order.append(node)
    return order, pages


def kept(runs):
    """Return whether "all" or "none" of a region's pages are in memory, else None."""
    pages = sum(run[0] for run in runs)
    present = sum(run[0] for run in runs if run[1] in ("present", "marked"))
    if present * STRAY < pages:
        return "none"
    return "all" if (pages - present) * STRAY < pages else None


def same(want, got):
    """Return whether a record of ours, or None, says what Linux's record says."""
    if got is None or place(want) != place(got):
        return False
    if "counters" in want:
        ours, theirs = got["counters"], want["counters"]
        owned = set(COUNTERS) - set(want.get("unstable", ()))
        return all(theirs.get(name, 0) == ours.get(name, 0) for name in owned)
    if "fill_order" in want:
        return _same_filling(want, got)
    if "kept" in want:
        got = got | {"kept": kept(got["runs"])}
    return {key: got.get(key) for key in want} == want


def _same_filling(want, got):
    order, pages = filling(got["runs"])
    near = all(
        abs(pages.get(node, 0) - count) <= want["tolerance_pages"]
        for node, count in want["node_pages"].items()
    )
    named = all(got.get(key) == want[key] for key in ("proc", "region"))
    return named and near and order[: len(want["fill_order"])] == want["fill_order"]


def extras(expect, records, lost=()):
    """Return our failed calls and killed processes that Linux did not have.

    lost  lines at which Linux itself did different things in two runs
    """
    theirs = {place(want) for want in expect}
    return [
        record
        for record in records
        if kind(record) in FAILURES
        and place(record) not in theirs
        and record["line"] not in lost
    ]


def differences(case, records):
    """Return [(Linux's record or None, ours or None)] of those that are not the same.

    case  a recorded case: its ``expect``, and ``lost`` if it has lost lines
    """
    ours = {place(record): record for record in records if kind(record)}
    pairs = [(want, ours.get(place(want))) for want in case["expect"]]
    more = extras(case["expect"], records, case.get("lost", ()))
    return [pair for pair in pairs if not same(*pair)] + [(None, got) for got in more]


def replay(script, profile):
    """Return (lazynuma's records of a script, what went wrong or "")."""
    command = ["lazynuma", "replay", str(script), "--json", "--profile", profile]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"no end within {PATIENCE} s"
    records = [json.loads(line) for line in run.stdout.splitlines()]
    trouble = run.stderr.strip()[-SHOWN:]
    return records, f"exit {run.returncode}: {trouble}" if run.returncode else ""


def report(path, profile):
    """Print where lazynuma differs from a case; return (same, all) observations."""
    case = json.loads(path.read_text())
    script = path.with_suffix(".mm")
    records, trouble = replay(script, profile)
    text = script.read_text().splitlines()
    found = differences(case, records)
    for want, got in found:
        line = (want or got)["line"]
        print(f"{path.stem}:{line}  {text[line - 1]}")
        print(f"    linux {json.dumps(want)[:SHOWN]}")
        print(f"    ours  {json.dumps(got)[:SHOWN]}")
    if trouble:
        print(f"{path.stem}: {trouble}")
    everything = len(case["expect"]) + sum(want is None for want, _ in found)
    return everything - len(found), everything


def report_all(cases, profile):
    """Print where lazynuma differs from cases; return whether it does."""
    tallies = [report(case, profile) for case in cases]
    equal, everything = (sum(column) for column in zip((0, 0), *tallies, strict=True))
    print(f"{equal} of {everything} observations are the same")
    return equal != everything


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where NAME.mm and NAME.json are")
    parser.add_argument("names", nargs="*", help="only these cases")
    parser.add_argument("--profile", help="rules to play by; as the folder is named")
    given = parser.parse_args(arguments)
    cases = [given.folder / f"{name}.json" for name in given.names]
    profile = given.profile or given.folder.resolve().name
    return report_all(cases or sorted(given.folder.glob("*.json")), profile)


if __name__ == "__main__":
    sys.exit(main())
