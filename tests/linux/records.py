"""Records of a memory script: what Linux said, and whether ours say the same.

``cases/NAME.json`` holds what the kernel of Debian 12 said in two runs of
``cases/NAME.mm`` on freshly started machines; what the runs did not agree on is left
out.  A record of ours has to hold everything that the recorded one says.
"""

import json
from pathlib import Path

from lazynuma.engine.memory_script import read
from lazynuma.scenarios.memory_script import Player

CASES = Path(__file__).parent / "cases"
#: Counters that a script can own: nobody else on the machine counts in them.
COUNTERS = (
    "thp_fault_alloc thp_fault_fallback thp_collapse_alloc thp_collapse_alloc_failed"
    " thp_split_page thp_split_page_failed thp_deferred_split_page thp_split_pmd"
    " thp_migration_success thp_migration_fail thp_migration_split thp_swpout"
    " thp_swpout_fallback pswpin pswpout oom_kill pgmigrate_fail"
).split()
KINDS = ("region", "counters", "result", "killed")
#: A node's pages in a run of a node that was filled.
FILLED = 2048


def names():
    """Return the names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.mm"))


def recorded(name):
    """Return what Linux said of a case."""
    found = json.loads((CASES / f"{name}.json").read_text())["expect"]
    for record in found:
        if "counters" in record:
            # A counter that did not change is left out of either.
            record["counters"] = {k: n for k, n in record["counters"].items() if n}
    return found


def ours(name, threads=None):
    """Return what the model says, by (line, kind); see ``Player`` for ``threads``."""
    played = Player(read(CASES / f"{name}.mm"), threads=threads).play()
    return {
        (record["line"], kind(record)): json.loads(json.dumps(record))
        for record in played
    }


def kind(record):
    """Return what a record is about; None: of no interest here."""
    return next((one for one in KINDS if one in record), None)


def said(want, got):
    """Return what of a record has to be as recorded, as the recorded one would say."""
    if got is None:
        return None
    if "counters" in want:
        owned = set(COUNTERS) - set(want.get("unstable", ()))
        counts = {name: n for name, n in got["counters"].items() if name in owned}
        return {key: want[key] for key in want} | {"counters": counts}
    if "fill_order" in want:
        return _filled(want, got)
    return {key: got.get(key) for key in want}


def _filled(want, got):
    """Return in which order nodes were filled, and where counts are near enough."""
    pages, order = {}, []
    for count, state, node, _huge in got["runs"]:
        if state == "present":
            pages[str(node)] = pages.get(str(node), 0) + count
            if count >= FILLED and node not in order:
                order.append(node)
    near = {
        node: count
        if abs(pages.get(node, 0) - count) <= want["tolerance_pages"]
        else pages.get(node, 0)
        for node, count in want["node_pages"].items()
    }
    order = order[: len(want["fill_order"])]
    same = {key: got.get(key) for key in ("line", "proc", "region")}
    tolerance = {"tolerance_pages": want["tolerance_pages"]}
    return same | {"fill_order": order, "node_pages": near} | tolerance


def differences(name, threads=None):
    """Return (recorded, ours as the recorded one would say) wherever they differ."""
    mine = ours(name, threads)
    pairs = [
        (want, said(want, mine.get((want["line"], kind(want)))))
        for want in recorded(name)
    ]
    return [(want, got) for want, got in pairs if got != want]
