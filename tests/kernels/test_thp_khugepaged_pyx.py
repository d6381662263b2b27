"""Cython's scan of a block and the target of a collapse, against plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

from common.cython_tables import FRAMES, MAPPED, NODES, NR, ORDER, SHIFT, folio_word
from lazynuma.kernels.counters import ScanResult
from lazynuma.kernels.knobs import TargetRule
from lazynuma.kernels.thp import khugepaged
from lazynuma.kernels.words import (
    FOLIO_COMPOUND,
    FRAME_COMPOUND,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    FRAME_MAPCOUNT_SHIFT,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_KIND,
    PTE_KIND_ONE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Kind,
)


def scan_by_hand(pmd, ptes, mapcount, far, limits, load):
    """Decide on a block as docs/model/thp.md has it; ``load`` is filled."""
    none = swap = shared = young = 0
    max_none, max_swap, max_shared, referenced, shift, needs = limits
    writable = False
    if pmd == 0:
        return ScanResult.PMD_NONE
    if pmd & (PTE_PRESENT | PTE_ZERO):
        return ScanResult.PMD_MAPPED
    for pte in ptes:
        if pte & PTE_KIND == PTE_SWAP:
            swap += 1
            if swap > max_swap:
                return ScanResult.EXCEED_SWAP_PTE
        elif pte & PTE_KIND:
            return ScanResult.PTE_NON_PRESENT
        elif not pte & PTE_PRESENT:
            none += 1
            if none > max_none:
                return ScanResult.EXCEED_NONE_PTE
        else:
            writable |= bool(pte & PTE_WRITE and not pte & PTE_PROTNONE)
            shared += mapcount[pte & PTE_PAYLOAD] > 1
            if shared > max_shared:
                return ScanResult.EXCEED_SHARED_PTE
            nid = (pte & PTE_PAYLOAD) >> shift
            if any(far[nid][other] for other in load):
                return ScanResult.SCAN_ABORT
            load[nid] = load.get(nid, 0) + 1
            young += bool(pte & PTE_YOUNG)
    if needs and not writable:
        return ScanResult.PAGE_RO
    if referenced and (young == 0 or (swap and young < NR // 2)):
        return ScanResult.LACK_REFERENCED_PAGE
    return ScanResult.SUCCEED


#: What runs of PTEs are made of.  The other 512 frames of a node are shared, which
#: keeps the rule that a writable page has no second mapping.
KINDS = {
    "none": 0,
    "zero": PTE_ZERO,
    "swap": PTE_SWAP,
    "parked": Kind.MIGCACHE * PTE_KIND_ONE,
    "used": MAPPED,
    "idle": PTE_PRESENT | PTE_WRITE,
    "read-only": PTE_PRESENT | PTE_YOUNG,
    "shared": PTE_PRESENT | PTE_YOUNG,
    "marked": MAPPED | PTE_PROTNONE,
}
#: Lengths near the borders, and any.
PAGES = hst.one_of(
    hst.sampled_from([1, 64, 65, 255, 256, 257, 512]), hst.integers(1, 512)
)
RUNS = hst.lists(
    hst.tuples(
        PAGES,
        hst.sampled_from(sorted(KINDS) + 5 * ["used"] + 3 * ["shared"] + ["idle"]),
        hst.integers(0, NODES - 1),
    ),
    min_size=1,
    max_size=5,
)
LIMITS = hst.tuples(
    hst.sampled_from([0, 64, 255, 511, 512, 512]),
    hst.sampled_from([0, 64, 256, 512]),
    hst.sampled_from([0, 255, 256, 512]),
    hst.sampled_from([0, 1]),
)
ENTRIES = hst.sampled_from([PMD_TABLE] * 20 + [0, PTE_PRESENT, PTE_ZERO])


def filled(runs):
    """Return 512 PTEs made of runs, the last run to the end."""
    words = []
    for pages, kind, node in runs:
        for _ in range(pages):
            offset = len(words) % NR + (NR if kind == "shared" else 0)
            present = KINDS[kind] & PTE_PRESENT
            words.append(KINDS[kind] | ((node << SHIFT) + offset if present else 0))
    return (words + NR * words[-1:])[:NR]


def frames():
    """Return (frame words, folio words, mapcounts): odd shared ones by a folio."""
    frame, huge = np.zeros(FRAMES, np.int64), np.zeros(FRAMES // NR, np.int64)
    counts = np.where(np.arange(FRAMES) >> ORDER & 1, 2, 1)
    frame[:] = counts << FRAME_MAPCOUNT_SHIFT | FRAME_IN_USE
    # On node 1 the second mapping is a PMD entry of the folio.
    b = (1 << SHIFT) // NR + 1
    frame[b * NR : (b + 1) * NR] -= FRAME_MAPCOUNT_ONE
    frame[b * NR : (b + 1) * NR] |= FRAME_COMPOUND
    huge[b] = folio_word(1, FOLIO_COMPOUND)
    return frame, huge, counts


@given(
    hst.lists(hst.tuples(ENTRIES, RUNS), min_size=1, max_size=4),
    LIMITS,
    hst.booleans(),
    hst.integers(0, 1),
)
@settings(max_examples=300)
def test_scan_is_the_plain_scan(blocks, limits, reclaim, needs):
    limits = (*limits, SHIFT, needs)
    frame, huge, counts = frames()
    apart = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], np.uint8)
    far = apart if reclaim else np.zeros((0, 0), np.uint8)
    nids = [at % NODES for at in range(len(blocks))]
    entries = [
        entry | nid << PMD_NID_SHIFT if entry else 0
        for (entry, _), nid in zip(blocks, nids, strict=True)
    ]
    words = [filled(runs) for _, runs in blocks]
    tally = np.zeros(len(ScanResult), np.int64)
    by_table = np.zeros((len(ScanResult), NODES), np.int64)
    seen = np.full(NODES + 1, -7, np.int64)
    # One block ahead of the range must stay unread.
    pmd = np.array([PTE_PRESENT, *entries], np.int64)
    pte = np.array([Kind.MIGCACHE * PTE_KIND_ONE] * NR + sum(words, []), np.int64)
    given = (
        pmd,
        pte,
        frame,
        huge,
        np.zeros(0, np.uint8),
        far,
        np.array(limits, np.int64),
    )
    done = khugepaged.scan_blocks(*given, 1, len(blocks), tally, by_table, seen)

    want, table = np.zeros_like(tally), np.zeros_like(by_table)
    for entry, ptes in zip(entries, words, strict=True):
        load = {}
        result = scan_by_hand(
            entry, ptes, counts, apart if reclaim else apart * 0, limits, load
        )
        want[result] += 1
        table[result, (entry >> PMD_NID_SHIFT) & 63] += 1
        if result == ScanResult.SUCCEED:
            assert seen[:NODES].tolist() == [load.get(nid, 0) for nid in range(NODES)]
            first = next((p for p in ptes if p & PTE_PRESENT), None)
            nid = -1 if first is None else (first & PTE_PAYLOAD) >> SHIFT
            assert seen[NODES] == nid
            break
    assert done == want.sum()
    assert (tally == want).all() and (by_table == table).all()
    if not tally[ScanResult.SUCCEED]:
        assert (seen == -7).all()


@pytest.mark.parametrize(
    ("load", "last", "first_page", "round_robin", "mask"),
    [
        ([0, 0, 512], -1, 2, 2, 2),
        ([256, 0, 256], -1, 0, 0, 0),
        ([256, 0, 256], 0, 0, 2, 0),
        ([256, 0, 256], 1, 0, 2, 0),
        ([256, 0, 256], 2, 0, 0, 0),
        ([10, 11, 10], 2, 0, 1, 1),
        ([10, 11, 11], 2, 0, 1, 1),
        ([11, 10, 11], 1, 1, 2, 0),
    ],
)
def test_the_target_of_a_collapse(load, last, first_page, round_robin, mask):
    load = np.array([*load, first_page], np.int64)
    rules = (
        TargetRule.FIRST_PAGE,
        TargetRule.MAJORITY_ROUND_ROBIN,
        TargetRule.MAJORITY_MASK,
    )
    found = [khugepaged.find_target_node(load, rule, last) for rule in rules]
    assert found == [first_page, round_robin, mask]
