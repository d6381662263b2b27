"""Generations of pages in place of two lists: aging and eviction (mm/vmscan.c, 6.12).

``docs/model/reclaim.md`` 13.  Order within a generation is the order of frames, as for
the lists.  All of it is serial work.
"""

from typing import Final

from ..counters import Vm
from ..frames.folio import lru_add_huge
from ..frames.mm_inline import age_of, aged_word
from ..frames.rmap import clear_young, first_mm, is_wedged, maps_frame
from ..frames.vma import find_vma
from ..jit.compile import called, inlined, kernel
from ..knobs import Balancing
from ..placement.migrate import lru_add
from ..state import MAX_NR_GENS, MIN_NR_GENS, BlockList, Ids, Info, Mm, Node, Vma
from ..words import (
    FOLIO_LAZYFREE,
    FRAME_ACTIVE,
    FRAME_GEN,
    FRAME_IN_USE,
    FRAME_VPN,
    FRAME_WEDGED,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_YOUNG,
)
from .demotion import can_demote
from .vmscan import next_on_list, reclaim_one
from .vmscan_huge import clear_young_huge

#: Pages that are isolated at a time; the window of a look around.
MIN_LRU_BATCH: Final = 64
DEF_PRIORITY: Final = 12
_TIERING: Final = int(Balancing.TIERING)


# --- one page -------------------------------------------------------------------------


@inlined
def _is_huge(m, pfn):
    return m.block_list[pfn >> HPAGE_PMD_ORDER] == BlockList.HUGE


@inlined
def _word_of(m, pfn):
    """Return the word that holds a page's age: its folio's, if it is part of one."""
    return m.block_huge[pfn >> HPAGE_PMD_ORDER] if _is_huge(m, pfn) else m.frame[pfn]


@called
def folio_update_gen(m, pfn, age):
    """Give a page, or the folio that it is part of, an age."""
    s = m.info[Info.SHARDS]
    if _is_huge(m, pfn):
        b = pfn >> HPAGE_PMD_ORDER
        lru_add_huge(m, s, b, -1)
        m.block_huge[b] = aged_word(m, m.block_huge[b], age)
        lru_add_huge(m, s, b, 1)
        return
    lru_add(m, s, pfn, -1)
    m.frame[pfn] = aged_word(m, m.frame[pfn], age)
    lru_add(m, s, pfn, 1)


@inlined
def _is_listed(m, pfn):
    """Tell whether a page is in a generation: neither freed by advice nor wedged."""
    if _is_huge(m, pfn):
        return m.block_huge[pfn >> HPAGE_PMD_ORDER] & FOLIO_LAZYFREE == 0
    return m.frame[pfn] & FRAME_WEDGED == 0


# --- eviction: who was used meanwhile -------------------------------------------------


@inlined
def _window(m, mm, vpn):
    """Return the pages round one, of its block and VMA, that a look around covers."""
    v = find_vma(m, mm, vpn)
    start = max(vpn & ~(HPAGE_PMD_NR - 1), m.vma[v, Vma.START])
    end = min((vpn | (HPAGE_PMD_NR - 1)) + 1, m.vma[v, Vma.END])
    if end - start <= MIN_LRU_BATCH:
        return start, end
    if vpn - start < MIN_LRU_BATCH // 2:
        return start, start + MIN_LRU_BATCH
    if end - vpn < MIN_LRU_BATCH // 2:
        return end - MIN_LRU_BATCH, end
    return vpn - MIN_LRU_BATCH // 2, vpn + MIN_LRU_BATCH // 2


@inlined
def _look_around(m, n, mm, vpn):
    """Make the pages youngest that were used, and lie round one that was."""
    start, end = _window(m, mm, vpn)
    delta = m.mm[mm, Mm.DELTA]
    for at in range(start + delta, end + delta):
        pte = m.pte[at]
        if pte & PTE_PRESENT == 0 or pte & PTE_YOUNG == 0:
            continue
        pfn = pte & PTE_PAYLOAD
        if pfn >> m.info[Info.NODE_SHIFT] == n and _is_listed(m, pfn):
            m.pte[at] = pte & ~PTE_YOUNG
            folio_update_gen(m, pfn, 0)


@called
def _was_used(m, n, pfn):
    """Tell whether any entry of a page is young; those are cleared, with neighbours.

    lru_gen_look_around, for each PTE of the rmap walk.
    """
    used = False
    vpn = m.frame[pfn] & FRAME_VPN
    mm = first_mm(m, vpn)
    while mm != NONE:
        at = vpn + m.mm[mm, Mm.DELTA]
        pte = m.pte[at]
        if maps_frame(pte, pfn) and pte & PTE_YOUNG:
            m.pte[at] = pte & ~PTE_YOUNG
            _look_around(m, n, mm, vpn)
            used = True
        mm = m.mm[mm, Mm.NEXT]
    return used


# --- eviction -------------------------------------------------------------------------


@inlined
def _oldest_page(m, n, budget):
    """Advance the hand to a page of the oldest generation; (frame or NONE, passed)."""
    passed = 0
    while passed < budget:
        hand = m.node[n, Node.HAND_ACTIVE]
        pfn, hand, step = next_on_list(m, n, hand, True, budget - passed)
        m.node[n, Node.HAND_ACTIVE] = hand
        passed += step
        if pfn == NONE:
            break
        old = age_of(m, _word_of(m, pfn)) >= m.node[n, Node.GENS] - 1
        if old and _is_listed(m, pfn):
            return pfn, passed
    return NONE, passed


@inlined
def _try_to_inc_min_seq(m, n):
    """Forget oldest generations that are empty, but keep two."""
    if m.node[n, Node.GENS] == MAX_NR_GENS and m.node[n, Node.FOURTH] <= 0:
        m.node[n, Node.GENS] -= 1
    if m.node[n, Node.GENS] > MIN_NR_GENS and m.node[n, Node.ACTIVE] == 0:
        m.node[n, Node.GENS] = MIN_NR_GENS
    if m.node[n, Node.GENS] == MIN_NR_GENS and m.node[n, Node.ACTIVE] > 0:
        # Pages that came from a node with more generations.
        m.node[n, Node.GENS] += 1


@inlined
def _shrink_oldest(m, n, pfn, steal):
    """Decide on a page or folio of the oldest generation; return the pages freed."""
    if _is_huge(m, pfn):
        used = clear_young_huge(m, pfn >> HPAGE_PMD_ORDER) > 0
    else:
        used = _was_used(m, n, pfn)
    if not used:
        return reclaim_one(m, n, pfn, steal)
    folio_update_gen(m, pfn, m.info[Info.LRU_GEN_SECOND])
    return 0


@inlined
def _evict_folios(m, n, scan, steal):
    """Take a batch from the oldest generation; return (pages scanned, pages freed)."""
    scanned = reclaimed = passed = 0
    while scanned < MIN_LRU_BATCH:
        pfn, step = _oldest_page(m, n, m.node[n, Node.SPAN] - passed)
        passed += step
        if pfn == NONE:
            m.node[n, Node.FOURTH] = 0
            break
        pages = HPAGE_PMD_NR if _is_huge(m, pfn) else 1
        m.vm[m.info[Info.SHARDS], n, scan] += pages
        m.info[Info.SCANNED] += pages
        m.node[n, Node.FOURTH] -= pages
        scanned += pages
        reclaimed += _shrink_oldest(m, n, pfn, steal)
    return scanned, reclaimed


# --- aging ----------------------------------------------------------------------------


@inlined
def _grow_old(m, n, word, used, pages):
    """Return the word of a page when a generation begins, and count its age."""
    age = 1 if used else min(age_of(m, word) + 1, MAX_NR_GENS - 1)
    m.node[n, Node.SECOND] += pages if age == 1 else 0
    m.node[n, Node.FOURTH] += pages if age == MAX_NR_GENS - 1 else 0
    new = aged_word(m, word, age)
    older = (new & FRAME_ACTIVE != 0) * pages - (word & FRAME_ACTIVE != 0) * pages
    m.node[n, Node.ACTIVE] += older
    m.node[n, Node.INACTIVE] -= older
    return new


@called
def inc_max_seq(m, n):
    """Begin a generation: pages that were used since become its second youngest.

    walk_mm of all processes, and inc_max_seq; all page tables are walked.
    """
    m.node[n, Node.SECOND] = 0
    m.node[n, Node.FOURTH] = 0
    pfn = n << m.info[Info.NODE_SHIFT]
    end = pfn + m.node[n, Node.SPAN]
    while pfn < end:
        b = pfn >> HPAGE_PMD_ORDER
        if _is_huge(m, pfn) or m.block_used[b] == 0:
            if m.block_huge[b] & FRAME_IN_USE and _is_listed(m, pfn):
                used = clear_young_huge(m, b) > 0
                word = _grow_old(m, n, m.block_huge[b], used, HPAGE_PMD_NR)
                m.block_huge[b] = word
            pfn = (b + 1) << HPAGE_PMD_ORDER
            continue
        if m.frame[pfn] & FRAME_IN_USE and _is_listed(m, pfn):
            used = clear_young(m, pfn) > 0
            m.frame[pfn] = _grow_old(m, n, m.frame[pfn], used, 1)
        pfn += 1
    m.node[n, Node.GENS] = min(m.node[n, Node.GENS] + 1, MAX_NR_GENS)


@inlined
def _is_uneven(m, n):
    """Tell whether of three generations the youngest is large or the oldest small."""
    old, others = m.node[n, Node.ACTIVE], m.node[n, Node.INACTIVE]
    young = max(others - m.node[n, Node.SECOND], 0)
    total = old + others
    return young * MIN_NR_GENS > total or old * (MIN_NR_GENS + 2) < total


@inlined
def _should_run_aging(m, n, priority):
    """Tell whether a generation should begin before pages are evicted."""
    gens = m.node[n, Node.GENS]
    if m.info[Info.LRU_GEN_SPREAD]:
        if priority == DEF_PRIORITY or gens > MIN_NR_GENS + 1:
            return False
        return gens == MIN_NR_GENS or _is_uneven(m, n)
    if gens == MIN_NR_GENS:
        return True
    return priority < DEF_PRIORITY and gens == MIN_NR_GENS + 1


# --- on and off -----------------------------------------------------------------------


@inlined
def _changed_word(m, word, on):
    """Return the word of a page whose list becomes an age, or whose age a list."""
    if on:
        return aged_word(m, word, 0 if word & FRAME_ACTIVE else 1)
    young = word & FRAME_ACTIVE == 0
    return word & ~FRAME_GEN | FRAME_ACTIVE if young else word & ~FRAME_GEN


@called
def _change_words(m, n, on):
    """Do ``lru_gen_change_state`` for a node."""
    old = 0
    pfn = n << m.info[Info.NODE_SHIFT]
    end = pfn + m.node[n, Node.SPAN]
    total = m.node[n, Node.ACTIVE] + m.node[n, Node.INACTIVE]
    while pfn < end:
        b = pfn >> HPAGE_PMD_ORDER
        if _is_huge(m, pfn) or m.block_used[b] == 0:
            if m.block_huge[b] & FRAME_IN_USE:
                m.block_huge[b] = _changed_word(m, m.block_huge[b], on)
                old += HPAGE_PMD_NR if m.block_huge[b] & FRAME_ACTIVE else 0
            pfn = (b + 1) << HPAGE_PMD_ORDER
            continue
        if m.frame[pfn] & FRAME_IN_USE and not is_wedged(m.frame[pfn]):
            m.frame[pfn] = _changed_word(m, m.frame[pfn], on)
            old += m.frame[pfn] & FRAME_ACTIVE != 0
        pfn += 1
    m.node[n, Node.ACTIVE] = old
    m.node[n, Node.INACTIVE] = total - old


@kernel
def lru_gen_change_state(m, on):
    """Turn the two lists into generations, or back (mm/vmscan.c, 6.12).

    on  1: active pages are youngest, the others second; 0: these two become active
    The kernels' column must say ``lru_gen`` already, or still.
    """
    for n in range(m.node.shape[0]):
        _change_words(m, n, on)
        m.node[n, Node.GENS] = MIN_NR_GENS
        m.node[n, Node.SECOND] = m.node[n, Node.FOURTH] = 0


# --- a node ---------------------------------------------------------------------------


@inlined
def set_initial_priority(m, n, target):
    """Return the priority at which kswapd begins: less far away the more is missing."""
    if not m.info[Info.LRU_GEN] or target < MIN_LRU_BATCH:
        return DEF_PRIORITY
    priority = _fls(m.node[n, Node.ACTIVE]) - 1 - _fls(target - 1)
    return min(max(priority, DEF_PRIORITY // 2), DEF_PRIORITY)


@inlined
def _fls(x):
    """Return the number of bits of a number."""
    bits = 0
    while x > 0:
        x >>= 1
        bits += 1
    return bits


@inlined
def _may_swap(m, n):
    """Tell whether a batch of pages finds slots, or a node to demote them to."""
    slots = Info.SLOTS
    left = m.info[slots + Ids.TOTAL] - m.info[slots + Ids.IN_USE]
    return left >= MIN_LRU_BATCH or can_demote(m, n)


@inlined
def _is_balanced(m, n, steal):
    """Tell whether kswapd has freed enough, with a batch more than it has to."""
    if steal != Vm.PGSTEAL_KSWAPD:
        return False
    mark = Node.PROMO if m.info[Info.BALANCING] & _TIERING else Node.HIGH
    return m.node[n, Node.FREE] > m.node[n, mark] + MIN_LRU_BATCH


@inlined
def _budget(m, n, priority):
    """Return how many pages to scan at a priority: none, if all are young."""
    _try_to_inc_min_seq(m, n)
    if m.node[n, Node.GENS] == MIN_NR_GENS:
        return 0
    return (m.node[n, Node.ACTIVE] + m.node[n, Node.INACTIVE]) >> priority


@called
def lru_gen_shrink_node(m, n, priority, target, scan, steal):
    """Evict pages of a node at a priority; return how many were freed.

    A generation that begins ends the round, before it evicts or (6.14) after a batch.
    """
    reclaimed = scanned = 0
    while _may_swap(m, n):
        _try_to_inc_min_seq(m, n)
        aging = _should_run_aging(m, n, priority)
        if aging:
            inc_max_seq(m, n)
            if m.info[Info.LRU_GEN_SPREAD]:
                break
        if scanned >= _budget(m, n, priority):
            break
        delta, freed = _evict_folios(m, n, scan, steal)
        scanned += delta
        reclaimed += freed
        if delta == 0 or aging or reclaimed >= target or _is_balanced(m, n, steal):
            break
    return reclaimed
