"""Cython's page tables: the same bits as Python's, the same work from every caller."""

import numba
import numpy as np
import pytest

from common.cython_tables import MAPPED, NR, folio_word
from lazynuma.kernels.frames import huge_memory, huge_memory_call
from lazynuma.kernels.thp import khugepaged
from lazynuma.kernels.words import (
    FOLIO_COMPOUND,
    FOLIO_DEFERRED,
    FRAME_ACTIVE,
    FRAME_COMPOUND,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_KIND_SHIFT,
    FRAME_MAPCOUNT_ONE,
    FRAME_REFERENCED,
    FRAME_SWAPCACHE,
    FRAME_WEDGED,
    PMD_NID_SHIFT,
    PMD_TABLE,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Kind,
)


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
    """The rule of docs/model/thp.md, page by page."""
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
        Kind.MIGCACHE << FRAME_KIND_SHIFT,
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
