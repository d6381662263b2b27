"""Serve accesses that hit: count, charge, settle runs of one block."""

from ..counters import Cause, Vm
from ..frames.look_ahead import DISTANCE
from ..frames.page_table import is_hit
from ..jit.arrays import from_start
from ..jit.compile import called, inlined
from ..jit.prefetch import prefetch, prefetchw
from ..state import WAYS, Change, Cost, Info, Mm, Shard, Task
from ..words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    PMD_LEAF,
    PMD_NID,
    PMD_NID_SHIFT,
    PMD_OWES,
    PTE_DIRTY,
    PTE_OWES,
    PTE_OWES_ONE,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
)
from .tlb import CACHED, WALKS_4K, tlb_miss, walk


@inlined
def _settle_walks(m, s, task, counts):
    """Charge a run's page walks and empty their counts."""
    cpu_nid = m.task[task, Task.NID]
    nodes = m.node.shape[0]
    for size in range(2):
        at = CACHED * nodes + size
        walks = counts[at]
        ns = walks * m.cost[Cost.WALK]
        counts[at] = 0
        for nid in range(nodes):
            at = (WALKS_4K + size) * nodes + nid
            walks += counts[at]
            ns += counts[at] * m.walk_ns[task, size, nid]
            counts[at] = 0
        m.vm[s, cpu_nid, Vm.TLB_MISSES_4K + size] += walks
        m.cause[s, task, Cause.PAGE_WALK] += ns


@inlined
def settle_run(m, s, task, tail, counts):
    """Charge a run of one task's hits and empty ``counts`` (``kernels/tlb.py``)."""
    cpu_nid = m.task[task, Task.NID]
    mm = m.task[task, Task.MM]
    refs = m.task[task, Task.REFS]
    if m.info[Info.TLB_SETS_4K]:
        _settle_walks(m, s, task, counts)
    m.vm[s, cpu_nid, Vm.PAGES_PAID] += counts[counts.size - 1]
    counts[counts.size - 1] = 0
    for nid in range(m.node.shape[0]):
        hits = counts[nid]
        if hits == 0:
            continue
        counts[nid] = 0
        here = nid == cpu_nid
        m.traffic[s, cpu_nid, nid] += hits * refs
        m.vm[s, cpu_nid, Vm.ACCESSES_LOCAL if here else Vm.ACCESSES_REMOTE] += hits
        m.mm_change[s, mm, Change.LOCAL if here else Change.REMOTE] += hits
        cause = Cause.ACCESS_LOCAL if here else Cause.ACCESS_REMOTE
        m.cause[s, task, cause] += hits * m.access_ns[task, nid]
        if tail:
            m.shard[s, Shard.TAIL_ALL] += hits
            if here:
                m.shard[s, Shard.TAIL_LOCAL] += hits


@inlined
def _pay(entry, here, counts):
    """Take a use off what a PTE owes, if it is ``here``; return the entry."""
    if entry & PTE_OWES and here:
        entry -= PTE_OWES_ONE
        if entry & PTE_OWES == 0:
            counts[counts.size - 1] += 1
    return entry


@inlined
def _pay_huge(entry, owes, here, counts):
    """Take a use off what the folio of an entry owes; return the entry."""
    if entry & PMD_OWES and here:
        b = (entry & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
        owes[b] -= 1
        if owes[b] == 0:
            entry &= ~PMD_OWES
            counts[counts.size - 1] += HPAGE_PMD_NR
    return entry


@inlined
def hit_node(m, task, pte):
    """Return the node that a hit goes to; the zero page is always local."""
    if pte & PTE_ZERO:
        return m.task[task, Task.NID]
    return (pte & PTE_PAYLOAD) >> m.info[Info.NODE_SHIFT]


@inlined
def touch(m, task, at, write, counts):
    """Set the bits that the hardware sets in the entry that maps a page."""
    bits = PTE_YOUNG | PTE_DIRTY if write else PTE_YOUNG
    block = at >> HPAGE_PMD_ORDER
    leaf = m.pmd[block] & PMD_LEAF
    entry = (m.pmd[block] if leaf else m.pte[at]) | bits
    here = hit_node(m, task, entry) == m.task[task, Task.NID]
    if leaf:
        m.pmd[block] = _pay_huge(entry, m.block_owes, here, counts)
    else:
        m.pte[at] = _pay(entry, here, counts)


@called
def _serve_hits(pte, task, queued, k, end, last, run, shift, counts):
    """Serve accesses of a run from ``k`` while they hit; return where that ended.

    A function of its own, so that the faults' code does not cost the hits registers.
    ``run`` are the bits that the run's accesses share: task and tail.  The bits that a
    write adds are computed, not branched on: writes come at random.
    """
    owner = run >> ACCESS_TASK_SHIFT
    delta = task[owner, Task.DELTA]
    cpu_nid = task[owner, Task.NID]
    while k < end:
        word = queued[k]
        if word & ~(ACCESS_VPN | ACCESS_WRITE) != run:
            break
        if k + DISTANCE < last:
            ahead = queued[k + DISTANCE]
            shift_of = task[ahead >> ACCESS_TASK_SHIFT, Task.DELTA]
            prefetchw(pte, (ahead & ACCESS_VPN) + shift_of)
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need = PTE_PRESENT | write * PTE_WRITE
        entry = pte[at]
        nid = cpu_nid
        if entry & (need | PTE_PROTNONE) != need:
            if not is_hit(entry, write == 1):
                break
        else:
            nid = (entry & PTE_PAYLOAD) >> shift
        counts[nid] += 1
        bits = PTE_YOUNG | write * PTE_DIRTY
        if entry & (bits | PTE_OWES) != bits:
            pte[at] = _pay(entry | bits, nid == cpu_nid, counts)
        k += 1
    return k


@inlined
def translate(m, task, s, at, counts):
    """Look an access up in its task's TLB, after the fact, and count a miss."""
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    row = m.tlb[task, s]
    sets = m.info[Info.TLB_SETS_4K]
    nodes = m.node.shape[0]
    if pmd & PMD_LEAF:
        block = at >> HPAGE_PMD_ORDER
        if tlb_miss(row, sets * WAYS, m.info[Info.TLB_SETS_2M], block):
            nid = m.mm[m.task[task, Task.MM], Mm.PGD_NID]
            walk(row, 1, block, nid, nodes, counts)
    elif tlb_miss(row, 0, sets, at):
        walk(row, 0, at, (pmd & PMD_NID) >> PMD_NID_SHIFT, nodes, counts)


@called
def _serve_hits_mapped(
    pte,
    pmd,
    owes,
    tlb,
    sets,
    task,
    pgd_nid,
    queued,
    k,
    end,
    last,
    run,
    shift,
    nodes,
    counts,
):
    """Do ``_serve_hits`` where blocks may be mapped whole, or with TLBs.

    tlb   int64[width]  the task's row of this shard; ``sets``: int64[2], 0 for no TLB
    """
    owner = run >> ACCESS_TASK_SHIFT
    delta = task[owner, Task.DELTA]
    cpu_nid = task[owner, Task.NID]
    small, huge = sets[0], sets[1]
    first_huge = small * WAYS
    leaf = False
    while k < end:
        word = queued[k]
        if word & ~(ACCESS_VPN | ACCESS_WRITE) != run:
            break
        if k + DISTANCE < last:
            # Most likely the same task's, and mapped as the last one was.
            ahead = (queued[k + DISTANCE] & ACCESS_VPN) + delta
            prefetch(pmd, ahead >> HPAGE_PMD_ORDER)
            if not leaf:
                prefetchw(pte, ahead)
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need = PTE_PRESENT | write * PTE_WRITE
        bits = PTE_YOUNG | write * PTE_DIRTY
        block = at >> HPAGE_PMD_ORDER
        upper = pmd[block]
        leaf = upper & PMD_LEAF != 0
        entry = upper if leaf else pte[at]
        nid = cpu_nid
        if entry & (need | PTE_PROTNONE) != need:
            if not is_hit(entry, write == 1):
                break
        else:
            nid = (entry & PTE_PAYLOAD) >> shift
        counts[nid] += 1
        if leaf:
            if entry & (bits | PMD_OWES) != bits:
                pmd[block] = _pay_huge(entry | bits, owes, nid == cpu_nid, counts)
            if huge and tlb_miss(tlb, first_huge, huge, block):
                walk(tlb, 1, block, pgd_nid, nodes, counts)
        else:
            if entry & (bits | PTE_OWES) != bits:
                pte[at] = _pay(entry | bits, nid == cpu_nid, counts)
            if small and tlb_miss(tlb, 0, small, at):
                table = (upper & PMD_NID) >> PMD_NID_SHIFT
                walk(tlb, 0, at, table, nodes, counts)
        k += 1
    return k


@inlined
def is_plain(m):
    """Tell whether there are neither huge pages nor TLBs."""
    return not m.info[Info.MAY_BE_HUGE] and not m.info[Info.TLB_SETS_4K]


@inlined
def hits_from(m, s, queued, k, end, last, run, counts):
    """Serve a run's hits from ``k``; return the first access that is not one."""
    shift = m.info[Info.NODE_SHIFT]
    if is_plain(m):
        return _serve_hits(m.pte, m.task, queued, k, end, last, run, shift, counts)
    task = run >> ACCESS_TASK_SHIFT
    return _serve_hits_mapped(
        m.pte,
        m.pmd,
        m.block_owes,
        from_start(m.tlb[task, s]),
        m.info[Info.TLB_SETS_4K : Info.TLB_SETS_2M + 1],
        m.task,
        m.mm[m.task[task, Task.MM], Mm.PGD_NID],
        queued,
        k,
        end,
        last,
        run,
        shift,
        m.node.shape[0],
        counts,
    )
