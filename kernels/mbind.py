"""Operations that walk a range of PTEs to move pages or to make them move later.

mbind, move_pages and migrate_pages move at once; the marks of MPOL_MF_LAZY park pages
in the swap cache or the migration cache, or set PROT_NONE, so that the next touch
faults.  ``docs/model.md`` §5.  All of it is serial work, paid by the calling task.
``first`` is a vpn, ``pages`` a count; the range is mapped by one VMA row, ``v``.
"""

from ._jit import called, inlined, kernel
from .constants import (
    FRAME_COMPOUND,
    FRAME_LAZYFREE,
    FRAME_MIGCACHE,
    FRAME_SWAPCACHE,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_SWAP,
    PTE_ZERO,
    Cause,
    Mode,
    Refusal,
    Vm,
)
from .folio import folio_nid, huge_mapcount, page_mapcount, split_huge_page
from .huge_pmd import migrate_huge
from .mempolicy import alloc_on_node, alloc_page_vma, in_mask, mpol_misplaced
from .migrate import migrate_folio_move, migration_cost
from .moves import note_move, note_move_huge
from .page_alloc import node_of
from .page_table import bits_of, change_bits
from .rmap import mapcount, try_to_unmap
from .state import (
    ENTRIES,
    IN_USE,
    LOW,
    SHARDS,
    SLOTS,
    TASK_DELTA,
    TASK_NID,
    TOTAL,
    UNIT_MIGRATION,
    VMA_MASK,
    VMA_MODE,
)
from .swap_state import get_id
from .vma_alloc_folio import alloc_huge_on_node, alloc_huge_serial
from .vmscan import add_to_swap

ENOENT, ENOMEM, EACCES, EFAULT = 2, 12, 13, 14


@inlined
def _park(m, pfn, kind, given, count):
    s = m.info[SHARDS]
    try_to_unmap(m, s, pfn, kind, given, count)
    m.vm[s, node_of(m, pfn), Vm.LAZY_PAGES_MARKED] += 1


@inlined
def _refuse(m, reason):
    m.refused[m.info[SHARDS], reason] += 1
    return 0


@inlined
def _swapcache_park(m, pfn):
    """Park one page in the swap cache; return 1, or 0 where it is refused."""
    word = m.frame[pfn]
    if word & FRAME_MIGCACHE:
        return _refuse(m, Refusal.BUSY)
    if not word & FRAME_SWAPCACHE:
        slot = get_id(m.info, SLOTS, m.slot_frame)
        if slot == NONE:
            return _refuse(m, Refusal.NO_SWAP_SLOT)
        m.slot_count[slot] = 0
        add_to_swap(m, pfn, slot)
    _park(m, pfn, PTE_SWAP, int(m.frame_entry[pfn]), m.slot_count)
    return 1


@inlined
def migcache_park(m, pfn):
    """Park one page in the migration cache; return 1, or 0 where it is refused."""
    word = m.frame[pfn]
    if word & FRAME_SWAPCACHE:
        return _refuse(m, Refusal.BUSY)
    if not word & FRAME_MIGCACHE:
        entry = get_id(m.info, ENTRIES, m.entry_frame)
        m.entry_count[entry] = 0
        m.entry_frame[entry] = pfn
        m.frame_entry[pfn] = entry
        m.frame[pfn] = word & ~FRAME_LAZYFREE | FRAME_MIGCACHE
    _park(m, pfn, PTE_PARKED, int(m.frame_entry[pfn]), m.entry_count)
    return 1


@inlined
def _may_unmap(m, task, v, vpn, pte, policy, move_all):
    """Decide whether a mark takes a page: present, misplaced, ours alone."""
    if not pte & PTE_PRESENT:
        return False
    pfn = pte & PTE_PAYLOAD
    if policy and mpol_misplaced(m, task, v, vpn, pfn) == NONE:
        return False
    if not move_all and page_mapcount(m, pfn) > 1:
        _refuse(m, Refusal.SHARED)
        return False
    return True


@inlined
def _next_block(at):
    """Return the index of the first PTE of the block after."""
    return (at // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR


@inlined
def _no_slot(m, kind):
    if kind != PTE_SWAP:
        return False
    return m.info[SLOTS + IN_USE] == m.info[SLOTS + TOTAL]


@inlined
def _refuse_huge(m, reason):
    m.refused[m.info[SHARDS], reason] += HPAGE_PMD_NR
    return False


@inlined
def _split_to_park(m, task, v, vpn, pmd, policy, move_all, kind):
    """Split the huge page of an entry for its pages to be parked; False: refused.

    A slot is looked for before the split (add_to_swap, 3.4).
    """
    if not pmd & PTE_PRESENT:
        return False
    pfn = pmd & PTE_PAYLOAD
    b = pfn >> HPAGE_PMD_ORDER
    if policy and mpol_misplaced(m, task, v, vpn, pfn) == NONE:
        return False
    if not move_all and huge_mapcount(m, b) > 1:
        return _refuse_huge(m, Refusal.SHARED)
    if _no_slot(m, kind):
        return _refuse_huge(m, Refusal.NO_SWAP_SLOT)
    split_huge_page(m, m.info[SHARDS], b, 0)
    return True


@inlined
def _park_pte(m, task, v, vpn, pte, policy, move_all, kind):
    """Park the page of a PTE, if the mark takes it; return 1 or 0."""
    if not _may_unmap(m, task, v, vpn, pte, policy, move_all):
        return 0
    pfn = pte & PTE_PAYLOAD
    if m.frame[pfn] & FRAME_COMPOUND:
        if _no_slot(m, kind):
            return _refuse(m, Refusal.NO_SWAP_SLOT)
        split_huge_page(m, m.info[SHARDS], pfn >> HPAGE_PMD_ORDER, 0)
    if kind == PTE_SWAP:
        return _swapcache_park(m, pfn)
    return migcache_park(m, pfn)


@inlined
def _park_range(m, task, v, first, pages, policy, move_all, kind):
    """Park the pages of a range that the mark takes; return how many."""
    parked = 0
    delta = m.task[task, TASK_DELTA]
    at, end = first + delta, first + pages + delta
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        stop = min(end, _next_block(at))
        if pmd & PMD_LEAF and not _split_to_park(
            m, task, v, at - delta, pmd, policy, move_all, kind
        ):
            pmd = 0
        if pmd:
            for i in range(at, stop):
                pte = m.pte[i]
                parked += _park_pte(m, task, v, i - delta, pte, policy, move_all, kind)
        at = stop
    return parked


@kernel
def lazy_swapcache(m, task, v, first, pages, policy, move_all):
    """Park a range in the swap cache (Schermerhorn 2006); return pages parked."""
    return _park_range(m, task, v, first, pages, policy, move_all, PTE_SWAP)


@kernel
def lazy_migcache(m, task, v, first, pages, policy, move_all):
    """Park a range in the migration cache (Tosatti 2004); return pages parked."""
    return _park_range(m, task, v, first, pages, policy, move_all, PTE_PARKED)


@inlined
def _count_marked(m, s, nid, pages):
    m.vm[s, nid, Vm.NUMA_PTE_UPDATES] += pages
    m.vm[s, nid, Vm.LAZY_PAGES_MARKED] += pages


@inlined
def _are_unmarked(m, ptes):
    """Tell whether all PTEs of a slice are present, unmarked and of one node."""
    every, some = bits_of(ptes)
    if not every & PTE_PRESENT or some & PTE_PROTNONE:
        return False
    return node_of(m, every & PTE_PAYLOAD) == node_of(m, some & PTE_PAYLOAD)


@inlined
def _mark_ptes(m, s, ptes):
    if _are_unmarked(m, ptes):
        change_bits(ptes, 0, PTE_PROTNONE)
        _count_marked(m, s, node_of(m, ptes[0] & PTE_PAYLOAD), ptes.size)
        return ptes.size
    marked = 0
    for i in range(ptes.size):
        pte = ptes[i]
        if pte & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
            continue
        ptes[i] = pte | PTE_PROTNONE
        _count_marked(m, s, node_of(m, pte & PTE_PAYLOAD), 1)
        marked += 1
    return marked


@inlined
def _mark_huge(m, s, block):
    """Set PROT_NONE on a huge entry (change_huge_pmd); return pages marked."""
    pmd = m.pmd[block]
    if pmd & (PTE_PRESENT | PTE_PROTNONE) != PTE_PRESENT:
        return 0
    m.pmd[block] = pmd | PTE_PROTNONE
    nid = node_of(m, pmd & PTE_PAYLOAD)
    _count_marked(m, s, nid, HPAGE_PMD_NR)
    m.vm[s, nid, Vm.NUMA_HUGE_PTE_UPDATES] += 1
    return HPAGE_PMD_NR


@kernel
def change_prot_numa(m, task, first, pages):
    """Set PROT_NONE on the present entries of a range (mm/mempolicy.c, 3.8)."""
    s = m.info[SHARDS]
    at = first + m.task[task, TASK_DELTA]
    end = at + pages
    marked = 0
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        stop = min(end, _next_block(at))
        if pmd & PMD_LEAF:
            marked += _mark_huge(m, s, at >> HPAGE_PMD_ORDER)
        elif pmd:
            marked += _mark_ptes(m, s, m.pte[at:stop])
        at = stop
    return marked


@inlined
def _fail(m, pfn):
    s = m.info[SHARDS]
    m.refused[s, Refusal.TARGET_FULL] += 1
    m.vm[s, node_of(m, pfn), Vm.PGMIGRATE_FAIL] += 1
    return False


@inlined
def _move_and_judge(m, task, pfn, new):
    """Move a page; a copy on its own node is no move to be judged."""
    s, old = m.info[SHARDS], node_of(m, pfn)
    migrate_folio_move(m, s, pfn, new)
    ns = migration_cost(m, s, task, pfn, new)
    if node_of(m, new) != old:
        note_move(m, s, task, NONE, old, new, ns)


@inlined
def _move_folio_and_judge(m, task, b, new):
    s, old = m.info[SHARDS], folio_nid(m, b)
    ns = migrate_huge(m, s, task, b, new)
    if folio_nid(m, new) != old:
        note_move_huge(m, s, task, NONE, old, new, ns)
    else:
        m.block_owes[new] = m.block_owes[b]


@inlined
def _move_by_policy(m, task, v, vpn, pfn):
    new = alloc_page_vma(m, m.info[SHARDS], task, v, vpn, False)
    if new < 0:
        return _fail(m, pfn)
    _move_and_judge(m, task, pfn, new)
    return True


@inlined
def _folio_of(m, at):
    """Return the block of the folio that maps a page, by PMD or by PTE, or NONE."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    if pmd & PMD_LEAF:
        return (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER if pmd & PTE_PRESENT else NONE
    pte = m.pte[at]
    if not pte & PTE_PRESENT or not m.frame[pte & PTE_PAYLOAD] & FRAME_COMPOUND:
        return NONE
    return (pte & PTE_PAYLOAD) >> HPAGE_PMD_ORDER


@inlined
def _split_to_move(m, b, failed):
    """Split a folio whose pages are moved one by one; ``failed``: for want of a block.

    try_split_folio (mm/migrate.c): a failure of the folio, then of none of its pages.
    """
    if failed:
        s = m.info[SHARDS]
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_FAIL] += 1
        m.vm[s, folio_nid(m, b), Vm.THP_MIGRATION_SPLIT] += 1
    split_huge_page(m, m.info[SHARDS], b, 0)


#: What became of a folio that an operation wants to move.
_WHOLE, _LEFT, _SPLIT = 0, 1, 2


@called
def _move_folio_by_policy(m, task, v, vpn, b):
    """Move a folio to where its policy puts it: _WHOLE or _SPLIT."""
    if not m.info[UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return _SPLIT
    new = alloc_huge_serial(m, task, v, vpn, False, False)
    if new < 0:
        _split_to_move(m, b, True)
        return _SPLIT
    _move_folio_and_judge(m, task, b, new)
    return _WHOLE


@called
def _move_folio_to_node(m, task, b, nid):
    """Move a folio to a node: _WHOLE or _SPLIT."""
    if not m.info[UNIT_MIGRATION]:
        _split_to_move(m, b, False)
        return _SPLIT
    s = m.info[SHARDS]
    new = alloc_huge_on_node(m, s, nid, m.task[task, TASK_NID], LOW, 0)
    if new < 0:
        _split_to_move(m, b, True)
        return _SPLIT
    _move_folio_and_judge(m, task, b, new)
    return _WHOLE


@inlined
def _queue_pages_required(m, v, pfn):
    """Tell whether mbind wants a page moved: off its VMA's nodes (mm/mempolicy.c, 6.1).

    The nodemask of default and local is empty: no page is on a node of theirs.
    """
    mode = m.vma[v, VMA_MODE]
    if mode == Mode.DEFAULT or mode == Mode.LOCAL:
        return True
    return not in_mask(m.vma[v, VMA_MASK], node_of(m, pfn))


@inlined
def _account(moved, became):
    """Note a folio's fate in ``moved``: pages moved, flushes."""
    if became == _WHOLE:
        moved[0] += HPAGE_PMD_NR
        moved[2] += 1


@inlined
def _mbind_folio(m, task, v, vpn, b, pages, move_all, moved):
    """Move a folio, of which the entry maps ``pages``; return its fate."""
    if not move_all and huge_mapcount(m, b) != 1:
        m.refused[m.info[SHARDS], Refusal.SHARED] += pages
        moved[3] += pages
        return _LEFT
    became = _move_folio_by_policy(m, task, v, vpn, b)
    _account(moved, became)
    return became


@inlined
def _mbind_pte(m, task, v, vpn, pfn, move_all, moved):
    """Move a page of its own; return False where there was no memory for it."""
    if not move_all and mapcount(m.frame[pfn]) > 1:
        _refuse(m, Refusal.SHARED)
        moved[3] += 1
        return True
    done = _move_by_policy(m, task, v, vpn, pfn)
    moved[0 if done else 1] += 1
    moved[2] += done
    return done


@called
def _mbind_huge_pmd(m, task, v, vpn, move_all, moved):
    """Move what the huge entry of a block maps, if mbind wants that.

    Return whether the folio was split: its pages are to be gone through.
    """
    pmd = m.pmd[(vpn + m.task[task, TASK_DELTA]) >> HPAGE_PMD_ORDER]
    if not pmd & PTE_PRESENT or not _queue_pages_required(m, v, pmd & PTE_PAYLOAD):
        return False
    b = (pmd & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
    return _mbind_folio(m, task, v, vpn, b, HPAGE_PMD_NR, move_all, moved) == _SPLIT


@called
def _mbind_ptes(m, task, v, vpn, end, interleave, move_all, strict, moved):
    """Move the pages of a block that mbind wants; return whether it goes on after it.

    A folio is queued by its first page.  With ``strict`` its other pages, which are not
    on the LRU any more then, end the walk with the block (migrate_page_add, 6.1).  A
    page without memory ends the moving (migrate_pages).
    """
    delta = m.task[task, TASK_DELTA]
    block, stuck = vpn >> HPAGE_PMD_ORDER, False
    while vpn < end:
        at = vpn + delta
        b = _folio_of(m, at)
        pfn = m.pte[at] & PTE_PAYLOAD
        if not m.pte[at] & PTE_PRESENT:
            vpn += 1
            continue
        queued = moved[4] == block
        if queued and (b != NONE or pfn >> HPAGE_PMD_ORDER == moved[5]):
            stuck = stuck or strict
        if (queued and b != NONE) or not _queue_pages_required(m, v, pfn):
            vpn += 1
        elif b == NONE:
            if not _mbind_pte(m, task, v, vpn + interleave, pfn, move_all, moved):
                return False
            vpn += 1
        else:
            became = _mbind_folio(m, task, v, vpn, b, 1, move_all, moved)
            if became != _LEFT:
                moved[4] = block
                moved[5] = b if became == _SPLIT else NONE
            if became == _SPLIT:
                # The page that has queued the folio comes again, as one of its own.
                if not _mbind_pte(m, task, v, vpn + interleave, pfn, move_all, moved):
                    return False
            vpn += 1
    moved[1] += stuck
    return not stuck


@kernel
def do_mbind(m, task, v, first, pages, interleave, move_all, strict, moved):
    """Move the pages of a range that are off their policy's nodes to where it says.

    interleave  a page's number plus this is what is interleaved by
    moved  int64[6]  pages moved, pages that could not be, TLB flushes, pages that were
                     not tried, as others map them; added to; block of virtual space
                     whose folio PTEs have queued, pageblock of that if it was split;
                     NONE at first
    Return whether the walk reached the end of the range.
    """
    delta = m.task[task, TASK_DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        block = (vpn + delta) >> HPAGE_PMD_ORDER
        stop = _next_block(vpn)
        walked = m.pmd[block] != 0
        if m.pmd[block] & PMD_LEAF:
            walked = _mbind_huge_pmd(m, task, v, vpn, move_all, moved)
        if walked and not _mbind_ptes(
            m, task, v, vpn, min(end, stop), interleave, move_all, strict, moved
        ):
            return False
        vpn = stop
    return True


@kernel
def count_misplaced(m, task, v, first, pages):
    """Return how many present pages of a range lie on a wrong node."""
    found = 0
    delta = m.task[task, TASK_DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        pmd = m.pmd[(vpn + delta) >> HPAGE_PMD_ORDER]
        step = _next_block(vpn) - vpn if pmd & PMD_LEAF else 1
        entry = pmd if pmd & PMD_LEAF else m.pte[vpn + delta]
        if entry & PTE_PRESENT and _queue_pages_required(m, v, entry & PTE_PAYLOAD):
            found += step
        vpn += step
    return found


@inlined
def _move_to_node(m, task, pfn, nid, move_all):
    """Move one page to a node; return the node it is on then, or -errno."""
    if node_of(m, pfn) == nid:
        return nid
    s = m.info[SHARDS]
    if not move_all and mapcount(m.frame[pfn]) > 1:
        _refuse(m, Refusal.SHARED)
        return -EACCES
    new = alloc_on_node(m, s, nid, m.task[task, TASK_NID], LOW, 0)
    if new < 0:
        _fail(m, pfn)
        return -ENOMEM
    _move_and_judge(m, task, pfn, new)
    return nid


@inlined
def _move_folio(m, task, b, pfn, pages, nid, move_all, moved):
    """Move a folio to a node; return the node, -EACCES, or NONE where it was split.

    pfn    the page that is asked for, of the ``pages`` that the entry maps
    """
    if folio_nid(m, b) == nid:
        return nid
    count = huge_mapcount(m, b) if pages > 1 else page_mapcount(m, pfn)
    if not move_all and count > 1:
        m.refused[m.info[SHARDS], Refusal.SHARED] += pages
        return -EACCES
    became = _move_folio_to_node(m, task, b, nid)
    _account(moved, became)
    return nid if became == _WHOLE else NONE


@inlined
def _move_page(m, task, at, nid, move_all, moved):
    """Move the page of a PTE; return the node it is on then, or -errno."""
    pte = m.pte[at]
    if pte & PTE_ZERO:
        return -EFAULT
    if not pte & PTE_PRESENT:
        return -ENOENT
    before = node_of(m, pte & PTE_PAYLOAD)
    after = _move_to_node(m, task, pte & PTE_PAYLOAD, nid, move_all)
    if after == nid and before != nid:
        moved[0] += 1
        moved[2] += 1
    return after


@kernel
def move_pages(m, task, first, nid, move_all, status, moved):
    """Move pages to a node (move_pages(2)).

    status  int64[pages]  set to the page's node or -errno, page by page
    moved   int64[3]      pages moved, pages not moved, TLB flushes; added to
    """
    i = 0
    while i < status.size:
        at = first + i + m.task[task, TASK_DELTA]
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        step = min(status.size - i, _next_block(at) - at) if pmd & PMD_LEAF else 1
        b = _folio_of(m, at)
        if b != NONE:
            pfn = (b << HPAGE_PMD_ORDER) + at % HPAGE_PMD_NR
            mapped = HPAGE_PMD_NR if pmd & PMD_LEAF else 1
            got = _move_folio(m, task, b, pfn, mapped, nid, move_all, moved)
            if got == NONE:
                continue
            status[i : i + step] = got
        elif pmd & PMD_LEAF:
            status[i : i + step] = -EFAULT
        else:
            status[i] = _move_page(m, task, at, nid, move_all, moved)
        i += step


@kernel
def migrate_to_node(m, task, first, pages, source, nid, move_all, moved):
    """Move the pages of a range that are on ``source`` to ``nid`` (migrate_pages(2)).

    moved  int64[3]  pages moved, pages not moved, TLB flushes; added to
    """
    delta = m.task[task, TASK_DELTA]
    at, end = first + delta, first + pages + delta
    while at < end:
        pmd = m.pmd[at >> HPAGE_PMD_ORDER]
        step = min(end, _next_block(at)) - at if pmd & PMD_LEAF else 1
        b = _folio_of(m, at)
        entry = pmd if pmd & PMD_LEAF else m.pte[at]
        if not entry & PTE_PRESENT or node_of(m, entry & PTE_PAYLOAD) != source:
            at += step
            continue
        if b != NONE:
            pfn = (b << HPAGE_PMD_ORDER) + at % HPAGE_PMD_NR
            got = _move_folio(m, task, b, pfn, step, nid, move_all, moved)
            if got == NONE:
                continue
            moved[1] += 0 if got == nid else step
        elif _move_page(m, task, at, nid, move_all, moved) != nid:
            moved[1] += 1
        at += step


@inlined
def _charge(m, task, cause, ns):
    m.cause[m.info[SHARDS], task, cause] += ns


@kernel
def charge_call(m, task, syscall_ns, migration_ns):
    """Charge a system call: its own work, and the flushes of its migrations."""
    _charge(m, task, Cause.SYSCALL, syscall_ns)
    _charge(m, task, Cause.MIGRATION, migration_ns)
