"""What a real Linux 6.1 did with 97 memory scripts, against what the model does.

``cases/NAME.json`` holds what the kernel of Debian 12 said in two runs of
``cases/NAME.mm`` on freshly started machines; what the runs did not agree on is left
out.  A record of ours has to hold everything that the recorded one says.
"""

import json
from pathlib import Path

import pytest

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
#: What the model does not do yet, and why.
DIFFERENT = {
    "walk-117": "the script leaves it to the scheduler on which CPU it starts",
}

marks = {
    name: pytest.mark.xfail(reason=reason, strict=True)
    for name, reason in DIFFERENT.items()
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
        return filled(want, got)
    return {key: got.get(key) for key in want}


def filled(want, got):
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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=marks.get(path.stem, ()))
        for path in sorted(CASES.glob("*.mm"))
    ],
)
def test_linux_did_the_same(name):
    """One script: every recorded observation, line by line."""
    expected = json.loads((CASES / f"{name}.json").read_text())["expect"]
    ours = {
        (record["line"], kind(record)): json.loads(json.dumps(record))
        for record in Player(read(CASES / f"{name}.mm")).play()
    }
    for want in expected:
        if "counters" in want:
            # A counter that did not change is left out of either.
            counts = {key: n for key, n in want["counters"].items() if n}
            want["counters"] = counts
        assert said(want, ours.get((want["line"], kind(want)))) == want
