"""Cython's page tables: the same bits as Python's, the same work from every caller."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

from lazynuma.kernels import words as k
from lazynuma.kernels.counters import ScanResult
from lazynuma.kernels.frames import huge_memory, huge_memory_call
from lazynuma.kernels.knobs import TargetRule
from lazynuma.kernels.thp import khugepaged
from lazynuma.kernels.words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_MAPCOUNT_ONE,
    FRAME_MAPCOUNT_SHIFT,
    FRAME_MIGCACHE,
    FRAME_REFERENCED,
    FRAME_SWAPCACHE,
    FRAME_WEDGED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)

NR, ORDER = HPAGE_PMD_NR, HPAGE_PMD_ORDER
#: log2 of the frames of a node, and nodes, of the machines below.
SHIFT, NODES = 10, 3
FRAMES = NODES << SHIFT
MAPPED = PTE_PRESENT | PTE_WRITE | PTE_YOUNG


@pytest.mark.parametrize("module", [huge_memory, khugepaged])
def test_cython_and_python_agree_on_every_bit(module):
    layout = module.layout()
    assert layout == {name: getattr(k, name) for name in layout}
    assert {"PTE_PAYLOAD", "PTE_PRESENT", "PTE_ZERO", "PTE_WRITE", "PTE_YOUNG"} <= set(
        layout
    )
    assert {"FRAME_COMPOUND", "FRAME_MAPCOUNT", "HPAGE_PMD_NR"} <= set(layout)


def test_the_layout_is_that_of_the_model():
    """The tables of docs/model.md, bit by bit."""
    bits = {
        "PTE_PRESENT": 40,
        "PTE_ZERO": 41,
        "PTE_SWAP": 42,
        "PTE_PARKED": 43,
        "PTE_WRITE": 44,
        "PTE_YOUNG": 45,
        "PTE_DIRTY": 46,
        "PTE_PROTNONE": 47,
        "PMD_TABLE": 48,
        "FRAME_MAPCOUNT_ONE": 36,
        "FRAME_IN_USE": 48,
        "FRAME_ACTIVE": 49,
        "FRAME_COMPOUND": 55,
    }
    layout = huge_memory.layout() | khugepaged.layout()
    for name, bit in bits.items():
        assert layout[name] == 1 << bit, name
    assert layout["PMD_NID"] == 63 << 49 and layout["FRAME_MAPCOUNT"] == 0xFFF << 36
    assert layout["PTE_PAYLOAD"] == 2**40 - 1 and layout["FRAME_VPN"] == 2**36 - 1
    # No two flags of an entry share a bit.
    flags = [name for name in bits if name.startswith("P")]
    assert sum(layout[name] for name in flags) | layout["PMD_NID"] == (
        sum(1 << bit for bit in range(40, 55))
    )


def test_cython_and_python_agree_on_the_results_of_a_scan():
    """The two last ones are the daemon's own."""
    named = khugepaged.results()
    assert named == {name: ScanResult[name].value for name in named}
    others = set(ScanResult.__members__) - set(named)
    assert others == {"ALLOC_HUGE_PAGE_FAIL", "VMA_CHECK"}


# --- splits -----------------------------------------------------------------------


@numba.njit
def split_in_a_kernel(pmd, pte, frame, block_huge, block_mapped, block):
    """Split a huge entry through the C pointer."""
    huge_memory_call.split_pmd(pmd, pte, frame, block_huge, block_mapped, block)


@numba.njit
def split_folio_in_a_kernel(frame, block_huge, block):
    """Split a folio through the C pointer."""
    return huge_memory_call.split_folio(frame, block_huge, block)


def tables(blocks=3):
    """Return the arrays of a few blocks, with rubbish where nobody may write."""
    random = np.random.default_rng(7)
    pte = random.integers(0, 1 << 48, blocks * NR)
    frame = random.integers(0, 1 << 48, blocks * NR)
    pmd, huge = np.zeros(blocks, np.int64), np.zeros(blocks, np.int64)
    return [pmd, pte, frame, huge, np.zeros(blocks, np.int16)]


def folio_word(mapcount, flags=0, vpn=5 * NR):
    return vpn | mapcount << FRAME_MAPCOUNT_SHIFT | FRAME_IN_USE | flags


PMDS = [
    PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY,
    PTE_PRESENT | PTE_PROTNONE | PTE_YOUNG,
    PTE_PRESENT | PTE_PROTNONE | PTE_WRITE,
    PTE_PRESENT | PTE_DIRTY,
    PTE_ZERO | PTE_YOUNG,
]


@pytest.mark.parametrize("entry", PMDS)
@pytest.mark.parametrize("flags", [0, FOLIO_COMPOUND, FOLIO_DEFERRED])
@pytest.mark.parametrize("split", [huge_memory.split_pmd, split_in_a_kernel])
def test_a_pmd_split_is_the_same_from_everywhere(entry, flags, split):
    given, block, b = tables(), 1, 2
    pmd, pte, frame, huge, bump = given
    present = entry & PTE_PRESENT
    pmd[block] = entry | (b * NR if present else 0) | 9 << PMD_NID_SHIFT
    huge[b] = folio_word(2, flags)
    if flags & FOLIO_COMPOUND:
        first = 5 * NR | FRAME_IN_USE | FRAME_COMPOUND
        frame[b * NR :] = first + np.arange(NR)
        frame[b * NR + 3] += FRAME_MAPCOUNT_ONE
        bump[b] = 1
    want = [one.copy() for one in given]
    _split_by_hand(*want, block, b)
    split(*given, block)
    for got, expected in zip(given, want, strict=True):
        assert (got == expected).all()


def _split_by_hand(pmd, pte, frame, huge, bump, block, b):
    """The rule of docs/model.md §10.3, page by page."""
    entry = int(pmd[block])
    pmd[block] = PMD_TABLE | 9 << PMD_NID_SHIFT
    kept = entry & (PTE_PRESENT | PTE_WRITE | PTE_YOUNG | PTE_DIRTY)
    for i in range(NR):
        if entry & PTE_ZERO:
            pte[block * NR + i] = PTE_ZERO
            continue
        pte[block * NR + i] = kept | (b * NR + i)
        if not huge[b] & FOLIO_COMPOUND:
            frame[b * NR + i] = 5 * NR + i | FRAME_IN_USE | FRAME_COMPOUND
        frame[b * NR + i] += FRAME_MAPCOUNT_ONE
    if entry & PTE_PRESENT:
        huge[b] = int(huge[b]) - FRAME_MAPCOUNT_ONE | FOLIO_COMPOUND
        bump[b] = NR


@pytest.mark.parametrize("active", [0, FRAME_ACTIVE])
@pytest.mark.parametrize("split", [huge_memory.split_folio, split_folio_in_a_kernel])
def test_a_folio_split_is_the_same_from_everywhere(active, split):
    _, _, frame, huge, _ = tables()
    before, b = frame.copy(), 1
    huge[b] = folio_word(0, active | FOLIO_COMPOUND | FOLIO_DEFERRED)
    mapped = np.arange(NR) % 3 == 0
    words = 5 * NR + np.arange(NR) | FRAME_IN_USE | FRAME_COMPOUND
    words[mapped] += 2 * FRAME_MAPCOUNT_ONE
    frame[b * NR : 2 * NR] = words
    assert split(frame, huge, b) == NR - mapped.sum()
    kept = active | FRAME_DIRTY
    want = np.where(mapped, words & ~FRAME_COMPOUND | kept, 0)
    assert (frame[b * NR : 2 * NR] == want).all()
    assert huge.tolist() == [0, 0, 0]
    others = np.r_[0:NR, 2 * NR : 3 * NR]
    assert (frame[others] == before[others]).all()


def test_populate_stops_at_the_first_block_that_maps_something():
    pmd, pte, frame, _, _ = tables(4)
    pte[:] = frame[:] = 0
    pte[3 * NR + 511] = PTE_ZERO
    table = PMD_TABLE | 2 << PMD_NID_SHIFT
    words = table, MAPPED | NR, FRAME_IN_USE | 7
    got = huge_memory.populate_blocks(pmd, pte, frame, NR, NR, *words, 3)
    assert got == 2 and pmd.tolist() == [0, table, table, 0]
    assert (pte[NR : 3 * NR] == MAPPED | NR + np.arange(2 * NR)).all()
    assert (frame[NR : 3 * NR] == (FRAME_IN_USE | 7) + np.arange(2 * NR)).all()
    assert not pte[:NR].any() and np.count_nonzero(pte[3 * NR :]) == 1


@pytest.mark.parametrize("leaf", [PTE_PRESENT, PTE_ZERO])
def test_populate_stops_at_a_huge_entry(leaf):
    pmd, pte, frame, _, _ = tables(2)
    pte[:] = 0
    pmd[1] = leaf
    words = PMD_TABLE, MAPPED, FRAME_IN_USE
    assert huge_memory.populate_blocks(pmd, pte, frame, 0, 0, *words, 2) == 1
    assert pmd[1] == leaf and not pte[NR:].any()


def test_taken_entries_leave_an_empty_table():
    _, pte, _, _, _ = tables()
    before, taken = pte.copy(), np.zeros(NR, np.int64)
    frame = np.zeros(1 << 20, np.int64)
    assert khugepaged.collapse_ptes(pte, frame, 1, taken) == (-1, 0)
    assert (taken == before[NR : 2 * NR]).all()
    assert not pte[NR : 2 * NR].any()
    assert (pte[:NR] == before[:NR]).all() and (pte[2 * NR :] == before[2 * NR :]).all()


def plain():
    """Return (pte, frame): table 1 maps pageblock 2, every third page is active."""
    pte, frame = np.zeros(3 * NR, np.int64), np.zeros(4 * NR, np.int64)
    page = np.arange(NR)
    pte[NR : 2 * NR] = (2 * NR + page) | PTE_PRESENT | PTE_WRITE
    word = (NR + page) | FRAME_MAPCOUNT_ONE | FRAME_IN_USE
    frame[2 * NR : 3 * NR] = word | np.where(page % 3 == 0, FRAME_ACTIVE, 0)
    frame[2 * NR + 5] |= FRAME_REFERENCED | FRAME_DIRTY
    frame[NR], frame[3 * NR] = 7, 8
    return pte, frame


def test_a_pageblock_of_plain_pages_is_emptied_at_once():
    pte, frame = plain()
    before, taken = pte[NR : 2 * NR].copy(), np.zeros(NR, np.int64)
    assert khugepaged.collapse_ptes(pte, frame, 1, taken) == (2, 171)
    assert (taken == before).all() and not pte.any()
    assert not frame[2 * NR : 3 * NR].any()
    assert frame[NR] == 7 and frame[3 * NR] == 8


@pytest.mark.parametrize(
    "bits",
    [
        FRAME_MAPCOUNT_ONE << 1,
        FRAME_SWAPCACHE,
        FRAME_MIGCACHE,
        FRAME_WEDGED,
        FRAME_COMPOUND,
    ],
)
def test_a_page_that_others_have_is_left_to_the_caller(bits):
    pte, frame = plain()
    frame[2 * NR + 300] |= bits
    before, taken = frame.copy(), np.zeros(NR, np.int64)
    assert khugepaged.collapse_ptes(pte, frame, 1, taken) == (-1, 0)
    assert (frame == before).all() and taken.all() and not pte.any()


@pytest.mark.parametrize("at", [0, 1, 511])
@pytest.mark.parametrize("entry", [0, PTE_ZERO, 5 | PTE_SWAP, 5 | PTE_PRESENT])
def test_a_table_that_maps_anything_else_is_left_to_the_caller(at, entry):
    pte, frame = plain()
    pte[NR + at] = entry
    before = frame.copy()
    found = khugepaged.collapse_ptes(pte, frame, 1, np.zeros(NR, np.int64))
    assert found == (-1, 0) and (frame == before).all()


# --- scan -------------------------------------------------------------------------


def scan_by_hand(pmd, ptes, mapcount, far, limits, load):
    """Decide on a block as docs/model.md §10.7 has it; ``load`` is filled."""
    none = swap = shared = young = 0
    max_none, max_swap, max_shared, referenced, shift = limits
    writable = False
    if pmd == 0:
        return ScanResult.PMD_NONE
    if pmd & (PTE_PRESENT | PTE_ZERO):
        return ScanResult.PMD_MAPPED
    for pte in ptes:
        if pte & PTE_SWAP:
            swap += 1
            if swap > max_swap:
                return ScanResult.EXCEED_SWAP_PTE
        elif pte & PTE_PARKED:
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
    if not writable:
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
    "parked": PTE_PARKED,
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
)
@settings(max_examples=300)
def test_scan_is_the_plain_scan(blocks, limits, reclaim):
    limits = (*limits, SHIFT)
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
    pte = np.array([PTE_PARKED] * NR + sum(words, []), np.int64)
    given = pmd, pte, frame, huge, far, np.array(limits, np.int64)
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
            assert seen[NODES] == (first & PTE_PAYLOAD) >> SHIFT
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
