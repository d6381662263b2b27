"""Reclaim (mm/vmscan.c): two clock hands for each node, and what they do with a page.

``docs/model/reclaim.md``.  The LRU lists of Linux are bits of the frame words here, and
the hands visit frames in frame order.  All of it is serial work.
"""

from typing import Final

from ..counters import Refusal, Vm
from ..fault.shmem import shmem_writepage
from ..frames.folio import lru_add_huge, split_huge_page
from ..frames.mm_inline import age_of, aged_word, clear_referenced
from ..frames.page_alloc import put_page
from ..frames.rmap import (
    cache_index,
    clear_young,
    is_lazyfree,
    mapcount,
    prepare_for_swap_entries,
    try_to_discard,
    try_to_unmap,
    try_to_unmap_shmem,
)
from ..frames.swap_state import (
    add_to_swap,
    cache_of,
    cached_by,
    get_id,
    swap_free_slot,
)
from ..frames.zero_filled import swap_writepage
from ..jit.compile import called, inlined
from ..lazy.designs import reclaim_parked
from ..placement.migrate import lru_add
from ..state import MIN_NR_GENS, BlockList, Ids, Info, Node
from ..words import (
    FOLIO_DEFERRED,
    FOLIO_LAZYFREE,
    FRAME_ACTIVE,
    FRAME_DIRTY,
    FRAME_IN_USE,
    FRAME_LAZYFREE,
    FRAME_REFERENCED,
    FRAME_SHMEM,
    FRAME_VPN,
    FRAME_WEDGED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    Kind,
)
from .demotion import STAYS, can_demote, demote_folio, demote_page
from .vmscan_huge import clear_young_huge, discard_huge, set_active_huge, swap_out_whole

SWAP_CLUSTER_MAX: Final = 32


@inlined
def nowhere_to_go(m, n):
    """Tell whether pages of a node can neither be swapped out nor demoted."""
    if m.info[Info.SLOTS + Ids.IN_USE] < m.info[Info.SLOTS + Ids.TOTAL]:
        return False
    return not can_demote(m, n)


@inlined
def _activate(m, n, pfn):
    s = m.info[Info.SHARDS]
    lru_add(m, s, pfn, -1)
    if m.info[Info.LRU_GEN]:
        m.frame[pfn] = aged_word(m, m.frame[pfn], m.info[Info.LRU_GEN_SECOND])
    else:
        m.frame[pfn] = (m.frame[pfn] | FRAME_ACTIVE) & ~FRAME_REFERENCED
    lru_add(m, s, pfn, 1)
    m.vm[s, n, Vm.PGACTIVATE] += 1


@inlined
def _get_slot_for(m, n, pfn):
    """Put a page into the swap cache unless it is there; False if no slot is free."""
    kind = cached_by(m.frame[pfn])
    if kind != 0:
        return reclaim_parked(m, n, pfn, kind) != 0
    slot = get_id(m, Kind.SWAP)
    if slot == NONE:
        m.refused[m.info[Info.SHARDS], Refusal.NO_SWAP_SLOT] += 1
        return False
    m.slot_count[slot] = 0
    add_to_swap(m, pfn, slot)
    return True


@called
def _discard_page(m, n, pfn, steal):
    """Forget a page that was freed by advice; return 1, or 0 if it was written."""
    s = m.info[Info.SHARDS]
    try_to_discard(m, s, pfn)
    if mapcount(m.frame[pfn]) > 0:
        _activate(m, n, pfn)
        return 0
    m.vm[s, n, Vm.PGLAZYFREED] += 1
    if steal != NONE:
        m.vm[s, n, steal] += 1
    lru_add(m, s, pfn, -1)
    put_page(m, s, pfn)
    return 1


@called
def _reclaim_shmem(m, n, pfn, steal):
    """Take a shared page out of its object and free it; return 1, or 0 without a slot.

    A dirty page goes to swap.  A page that was only read is all zeros and is forgotten.
    A page that finds no slot is unmapped all the same, and activated.
    """
    s = m.info[Info.SHARDS]
    vpn = m.frame[pfn] & FRAME_VPN
    try_to_unmap_shmem(m, s, pfn)
    if not m.frame[pfn] & FRAME_DIRTY:
        m.pte[cache_index(m, vpn)] = 0
    elif not shmem_writepage(m, n, pfn, vpn):
        _activate(m, n, pfn)
        return 0
    lru_add(m, s, pfn, -1)
    put_page(m, s, pfn)
    if steal != NONE:
        m.vm[s, n, steal] += 1
    return 1


@inlined
def _reclaim_page(m, n, pfn, steal):
    """Swap a page out and free it; return 1, or 0 if it had to be activated.

    steal  the counter, a Vm; NONE for MADV_PAGEOUT, which neither counts nor demotes
    """
    s = m.info[Info.SHARDS]
    m.frame[pfn] = clear_referenced(m, m.frame[pfn])
    if steal != NONE:
        demoted = demote_page(m, n, pfn, steal)
        if demoted == STAYS:
            _activate(m, n, pfn)
            return 0
        if demoted:
            return 1
    if is_lazyfree(m.frame[pfn]):
        return _discard_page(m, n, pfn, steal)
    if m.frame[pfn] & FRAME_SHMEM:
        return _reclaim_shmem(m, n, pfn, steal)
    if not _get_slot_for(m, n, pfn):
        _activate(m, n, pfn)
        return 0
    slot = int(m.frame_entry[pfn])
    prepare_for_swap_entries(m, pfn)
    try_to_unmap(m, s, pfn, cache_of(m, Kind.SWAP), slot)
    if m.frame[pfn] & FRAME_DIRTY:
        written = swap_writepage(m, pfn, slot)
        m.vm[s, n, Vm.PSWPOUT] += written
        m.info[Info.WRITTEN] += written
    lru_add(m, s, pfn, -1)
    put_page(m, s, pfn)
    m.slot_frame[slot] = NONE
    if m.slot_count[slot] == 0:
        swap_free_slot(m, s, slot)
    if steal != NONE:
        m.vm[s, n, steal] += 1
    return 1


@inlined
def _must_split(m, b):
    """Tell whether reclaim splits a folio before it asks for slots."""
    word = m.block_huge[b]
    if m.info[Info.SWAP_OUT_PTES]:
        return word & FOLIO_DEFERRED != 0
    return mapcount(word) == 0


@inlined
def _reclaim_huge(m, n, b, steal):
    """Swap a folio out, whole if possible; return how many pages were freed."""
    m.block_huge[b] = clear_referenced(m, m.block_huge[b])
    if steal != NONE:
        demoted = demote_folio(m, n, b, steal)
        if demoted == STAYS:
            set_active_huge(m, n, b, True, Vm.PGACTIVATE)
            return 0
        if demoted > 0:
            return demoted
    if m.block_huge[b] & FOLIO_LAZYFREE:
        return discard_huge(m, n, b, steal)
    if not _must_split(m, b):
        slot = m.info[Info.SLOTS + Ids.VIRGIN_ID]
        if slot + HPAGE_PMD_NR <= m.info[Info.SLOTS + Ids.TOTAL]:
            return swap_out_whole(m, n, b, slot, steal)
        m.vm[m.info[Info.SHARDS], n, Vm.THP_SWPOUT_FALLBACK] += 1
    split_huge_page(m, m.info[Info.SHARDS], b, 0)
    reclaimed = 0
    first = b << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        if m.frame[pfn] & FRAME_IN_USE:
            reclaimed += _reclaim_page(m, n, pfn, steal)
    return reclaimed


@called
def reclaim_one(m, n, pfn, steal):
    """Reclaim a page or a folio by its first frame; return the pages freed."""
    b = pfn >> HPAGE_PMD_ORDER
    if m.block_list[b] == BlockList.HUGE:
        return _reclaim_huge(m, n, b, steal)
    return _reclaim_page(m, n, pfn, steal)


@called
def reclaim_folio(m, n, b):
    """Swap a folio out for MADV_PAGEOUT, unless other entries have used it."""
    return _shrink_huge(m, n, b, NONE)


@called
def reclaim_page(m, n, pfn):
    """Swap a page out for MADV_PAGEOUT, used or not."""
    return _reclaim_page(m, n, pfn, NONE)


@inlined
def _stays_oldest(m, n, word):
    """Tell whether a cold page is in the oldest generation, and stays there (6.14)."""
    if not m.info[Info.LRU_GEN_SECOND]:
        return False
    return age_of(m, word) >= max(m.node[n, Node.GENS], MIN_NR_GENS + 1) - 1


@called
def deactivate_folio(m, n, b):
    """Move an active folio to the inactive list (lru_deactivate).

    With generations to the second youngest.
    """
    if _stays_oldest(m, n, m.block_huge[b]):
        return
    set_active_huge(m, n, b, False, Vm.PGDEACTIVATE)
    if m.info[Info.LRU_GEN]:
        m.block_huge[b] = aged_word(m, m.block_huge[b], 1)


@called
def lazyfree_folio(m, n, b):
    """Allow reclaim to forget a folio (lru_lazyfree_fn, mm/swap.c, 6.1)."""
    s = m.info[Info.SHARDS]
    m.info[Info.LAZYFREE] = 1
    lru_add_huge(m, s, b, -1)
    m.block_huge[b] &= ~(FRAME_ACTIVE | FRAME_REFERENCED)
    m.block_huge[b] |= FOLIO_LAZYFREE
    lru_add_huge(m, s, b, 1)
    m.vm[s, n, Vm.PGLAZYFREE] += HPAGE_PMD_NR


@inlined
def lazyfree_page(m, n, pfn):
    """Allow reclaim to forget a page (lru_lazyfree_fn, mm/swap.c, 6.1)."""
    s = m.info[Info.SHARDS]
    m.info[Info.LAZYFREE] = 1
    lru_add(m, s, pfn, -1)
    m.frame[pfn] &= ~(FRAME_ACTIVE | FRAME_REFERENCED)
    m.frame[pfn] |= FRAME_LAZYFREE
    lru_add(m, s, pfn, 1)
    m.vm[s, n, Vm.PGLAZYFREE] += 1


@called
def _shrink_huge(m, n, b, steal):
    """Decide on one inactive folio; return how many pages were freed."""
    young = clear_young_huge(m, b)
    if young == 0:
        return _reclaim_huge(m, n, b, steal)
    if m.info[Info.LRU_GEN]:
        return 0
    if young > 1 or m.block_huge[b] & FRAME_REFERENCED:
        set_active_huge(m, n, b, True, Vm.PGACTIVATE)
    else:
        m.block_huge[b] |= FRAME_REFERENCED
    return 0


@called
def _deactivate_huge(m, n, b):
    clear_young_huge(m, b)
    set_active_huge(m, n, b, False, Vm.PGDEACTIVATE)
    m.vm[m.info[Info.SHARDS], n, Vm.PGREFILL] += HPAGE_PMD_NR


@inlined
def _shrink_folio(m, n, pfn, steal):
    """Decide on one inactive page (folio_check_references); return 1 if it is freed."""
    young = clear_young(m, pfn)
    if young == 0:
        return _reclaim_page(m, n, pfn, steal)
    if m.info[Info.LRU_GEN]:
        return 0
    if young > 1 or m.frame[pfn] & FRAME_REFERENCED:
        _activate(m, n, pfn)
    else:
        m.frame[pfn] |= FRAME_REFERENCED
    return 0


@inlined
def deactivate_page(m, n, pfn):
    """Move an active page to the inactive list (lru_deactivate).

    With generations to the second youngest.
    """
    if _stays_oldest(m, n, m.frame[pfn]):
        return
    s = m.info[Info.SHARDS]
    lru_add(m, s, pfn, -1)
    m.frame[pfn] &= ~FRAME_ACTIVE
    if m.info[Info.LRU_GEN]:
        m.frame[pfn] = aged_word(m, m.frame[pfn], 1)
    lru_add(m, s, pfn, 1)
    m.vm[s, n, Vm.PGDEACTIVATE] += 1


@inlined
def _deactivate(m, n, pfn):
    clear_young(m, pfn)
    deactivate_page(m, n, pfn)
    m.vm[m.info[Info.SHARDS], n, Vm.PGREFILL] += 1


@inlined
def next_on_list(m, n, hand, active, budget):
    """Advance a hand to the next page or folio of a list.

    Return (its first frame or NONE, the hand after it, frames passed).
    """
    span = m.node[n, Node.SPAN]
    first = n << m.info[Info.NODE_SHIFT]
    want = FRAME_IN_USE | FRAME_ACTIVE if active else FRAME_IN_USE
    passed = 0
    while passed < budget:
        b = (first + hand) >> HPAGE_PMD_ORDER
        if m.block_used[b] == 0 or m.block_list[b] == BlockList.HUGE:
            step = HPAGE_PMD_NR - (hand & (HPAGE_PMD_NR - 1))
            pfn = first + hand
            passed += step
            hand += step
            listed = m.block_huge[b] & (FRAME_IN_USE | FRAME_ACTIVE) == want
            if step == HPAGE_PMD_NR and m.block_list[b] == BlockList.HUGE and listed:
                return pfn, hand if hand < span else 0, passed
        else:
            pfn = first + hand
            passed += 1
            hand += 1
            if m.frame[pfn] & (FRAME_IN_USE | FRAME_ACTIVE | FRAME_WEDGED) == want:
                return pfn, hand if hand < span else 0, passed
        if hand >= span:
            hand = 0
    return NONE, hand, passed


@inlined
def shrink_inactive_list(m, n, count, scan, steal):
    reclaimed = 0
    passed = 0
    for _ in range(count):
        pfn, hand, step = next_on_list(
            m, n, m.node[n, Node.HAND_INACTIVE], False, m.node[n, Node.SPAN] - passed
        )
        m.node[n, Node.HAND_INACTIVE] = hand
        passed += step
        if pfn == NONE:
            break
        b = pfn >> HPAGE_PMD_ORDER
        pages = HPAGE_PMD_NR if m.block_list[b] == BlockList.HUGE else 1
        m.vm[m.info[Info.SHARDS], n, scan] += pages
        m.info[Info.SCANNED] += pages
        if pages > 1:
            return reclaimed + _shrink_huge(m, n, b, steal)
        reclaimed += _shrink_folio(m, n, pfn, steal)
    return reclaimed


@called
def shrink_lazyfree(m, n, target, scan, steal):
    """Scan pages that were freed by advice, from the node's first frame on.

    In Linux they are on the list of file pages, which is scanned before the anonymous
    one, and also without swap (get_scan_count).  Return how many pages were freed.
    """
    reclaimed = 0
    pfn = n << m.info[Info.NODE_SHIFT]
    end = pfn + m.node[n, Node.SPAN]
    while pfn < end and reclaimed < target:
        b = pfn >> HPAGE_PMD_ORDER
        huge = m.block_list[b] == BlockList.HUGE
        if huge and m.block_huge[b] & FOLIO_LAZYFREE:
            m.vm[m.info[Info.SHARDS], n, scan] += HPAGE_PMD_NR
            m.info[Info.SCANNED] += HPAGE_PMD_NR
            reclaimed += _shrink_huge(m, n, b, steal)
        if huge or m.block_used[b] == 0:
            pfn = (b + 1) << HPAGE_PMD_ORDER
            continue
        if is_lazyfree(m.frame[pfn]):
            m.vm[m.info[Info.SHARDS], n, scan] += 1
            m.info[Info.SCANNED] += 1
            reclaimed += _shrink_folio(m, n, pfn, steal)
        pfn += 1
    return reclaimed


@inlined
def shrink_active_list(m, n, count):
    passed = 0
    for _ in range(count):
        pfn, hand, step = next_on_list(
            m, n, m.node[n, Node.HAND_ACTIVE], True, m.node[n, Node.SPAN] - passed
        )
        m.node[n, Node.HAND_ACTIVE] = hand
        passed += step
        if pfn == NONE:
            break
        b = pfn >> HPAGE_PMD_ORDER
        if m.block_list[b] == BlockList.HUGE:
            m.info[Info.SCANNED] += HPAGE_PMD_NR
            _deactivate_huge(m, n, b)
            break
        m.info[Info.SCANNED] += 1
        _deactivate(m, n, pfn)
