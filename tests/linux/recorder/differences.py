"""Sort what differs by kind: differences.py DIR [NAME ...] --profile P [--table FILE]

Plays recorded scripts in this process, and prints each kind of difference (kinds.py)
with the lines that show it; FILE gets tables of kinds and of families, in Markdown.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import compare
import kinds
import model

#: Lines of scripts of a kind that are shown.
SHOWN = 6
#: The kind of a replay that comes to no end.
REFUSED = "refused"


class Result(NamedTuple):
    """What came of one script.

    name    of the script
    total   observations, and failed calls that are ours alone
    equal   of these
    found   {kind of difference: its first line}
    """

    name: str
    total: int
    equal: int
    found: dict


def result(script, profile):
    """Play a recorded script; return its result."""
    case = json.loads(script.with_suffix(".json").read_text())
    records, trouble = model.replay(script.read_text(), profile)
    pairs = compare.differences(case, records)
    found = first_lines(pairs)
    if trouble:
        found[REFUSED] = 0
    total = len(case["expect"]) + sum(want is None for want, _ in pairs)
    return Result(script.stem, total, total - len(pairs), found)


def first_lines(pairs):
    """Return {kind: the first line that shows it} of records that differ."""
    found = {}
    for want, got in pairs:
        line = (want or got)["line"]
        for kind in kinds.kinds(want, got):
            found[kind] = min(line, found.get(kind, line))
    return found


def results(scripts, profile):
    """Yield the results of the scripts that are recorded."""
    for script in scripts:
        if script.with_suffix(".json").exists():
            yield result(script, profile)


def family(name):
    """Return the family of a script."""
    return name.rpartition("-")[0] or name


def by_kind(all_results):
    """Return {kind: [NAME:LINE]}, the most frequent kinds first."""
    places = defaultdict(list)
    for one in all_results:
        for kind, line in one.found.items():
            places[kind].append(f"{one.name}:{line}")
    return dict(sorted(places.items(), key=lambda item: (-len(item[1]), item[0])))


def by_family(all_results):
    """Return {family: counts of scripts, whole (scripts), total and equal}."""
    rows = defaultdict(Counter)
    for one in all_results:
        counts = {"scripts": 1, "whole": int(not one.found)}
        rows[family(one.name)].update(counts, total=one.total, equal=one.equal)
    return dict(sorted(rows.items()))


def tables(all_results):
    """Return tables of families and of kinds, in Markdown."""
    lines = [
        "| family | scripts | all equal | observations | equal |",
        "|---" * 5 + "|",
    ]
    rows = by_family(all_results)
    rows["all"] = sum(rows.values(), Counter())
    for name, row in rows.items():
        counts = (row[key] for key in ("scripts", "whole", "total", "equal"))
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    lines += ["", "| kind | scripts | first lines |", "|---" * 3 + "|"]
    for kind, places in by_kind(all_results).items():
        lines.append(f"| {kind} | {len(places)} | {' '.join(places[:SHOWN])} |")
    return "\n".join(lines) + "\n"


def report(scripts, profile, table=None):
    """Print what differs, write the tables; return whether anything differs."""
    found = list(results(scripts, profile))
    for kind, places in by_kind(found).items():
        print(f"{len(places):4} {kind:40} {' '.join(places[:SHOWN])}")
    equal, total = (
        sum(getattr(one, key) for one in found) for key in ("equal", "total")
    )
    print(f"{equal} of {total} observations are the same")
    if table:
        table.write_text(tables(found))
    return equal != total


def add_arguments(parser):
    """Add the arguments that say how to compare."""
    parser.add_argument("--profile", required=True, help="rules to play by")
    parser.add_argument("--table", type=Path, help="file that gets tables")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where NAME.mm and NAME.json are")
    parser.add_argument("names", nargs="*", help="only these scripts")
    add_arguments(parser)
    given = parser.parse_args(arguments)
    model.interpret()
    scripts = [given.folder / f"{name}.mm" for name in given.names]
    scripts = scripts or sorted(given.folder.glob("*.mm"))
    return report(scripts, given.profile, given.table)


if __name__ == "__main__":
    sys.exit(main())
