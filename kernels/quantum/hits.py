"""Accesses that hit: serve them in a loop, count them, and charge a run of them."""

from ..access_run import (
    HitCount,
    class_in,
    lines_at,
    run_of,
    task_in,
    task_of,
    walks_at,
)
from ..counters import Cause, Vm
from ..frames.line_transfer import note_writer, other_writer
from ..frames.look_ahead import DISTANCE
from ..frames.page_table import entry_of, is_hit
from ..frames.zero_filled import note_written
from ..jit.arrays import from_start
from ..jit.compile import called, inlined
from ..jit.prefetch import prefetch, prefetchw
from ..state import WAYS, Change, Cost, Info, Mm, Shard, Task
from ..words import (
    ACCESS_TAIL,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
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
from .tlb import tlb_miss, walk


@inlined
def _settle_walks(m, s, task, counts):
    """Charge a run's page walks and empty their counts."""
    cpu_nid = m.task[task, Task.NID]
    nodes = m.node.shape[0]
    for size in range(2):
        walks = counts[HitCount.CACHED + size]
        ns = walks * m.cost[Cost.WALK]
        counts[HitCount.CACHED + size] = 0
        for nid in range(nodes):
            at = walks_at(size, nodes, nid)
            walks += counts[at]
            ns += counts[at] * m.walk_ns[task, size, nid]
            counts[at] = 0
        m.vm[s, cpu_nid, Vm.TLB_MISSES_4K + size] += walks
        m.cause[s, task, Cause.PAGE_WALK] += ns


@inlined
def _settle_lines(m, s, task, refs, counts):
    """Charge the lines of a run that came from other nodes' caches, and forget them.

    Those of a stream are foreseen: they cost what its bandwidth allows.
    """
    cpu_nid, nodes = m.task[task, Task.NID], m.node.shape[0]
    if m.task[task, Task.STREAM]:
        refs = 0
    for nid in range(nodes):
        hits = counts[lines_at(nodes, nid)]
        counts[lines_at(nodes, nid)] = 0
        m.vm[s, cpu_nid, Vm.LINE_TRANSFERS] += hits
        m.cause[s, task, Cause.ACCESS_REMOTE] += hits * refs * m.line_ns[cpu_nid, nid]


@inlined
def _refs_of(m, task, bits):
    """Return the references to cache lines that an access of a run stands for."""
    other = class_in(bits)
    if other == 0:
        return m.task[task, Task.REFS]
    return m.task[task, Task.REFS_1 + other - 1]


@inlined
def _price_of(m, task, nid, refs):
    """Return what an access costs, ns; each by itself, so that runs may be cut."""
    ns, whole = m.access_ns[task, nid], m.task[task, Task.REFS]
    return ns if refs == whole else ns * refs // whole


@inlined
def settle_run(m, s, bits, counts):
    """Charge a run of one task's hits and empty ``counts`` (``access_run.py``).

    bits  ``run_of`` its words
    """
    task, tail = task_in(bits), bits & ACCESS_TAIL != 0
    cpu_nid = m.task[task, Task.NID]
    mm = m.task[task, Task.MM]
    refs = _refs_of(m, task, bits)
    if m.info[Info.TLB_SETS_4K]:
        _settle_walks(m, s, task, counts)
    if m.info[Info.LINES]:
        _settle_lines(m, s, task, refs, counts)
    m.vm[s, cpu_nid, Vm.PAGES_PAID] += counts[HitCount.PAID]
    counts[HitCount.PAID] = 0
    for nid in range(m.node.shape[0]):
        hits = counts[HitCount.NODES + nid]
        if hits == 0:
            continue
        counts[HitCount.NODES + nid] = 0
        here = nid == cpu_nid
        m.traffic[s, cpu_nid, nid] += hits * refs
        m.vm[s, cpu_nid, Vm.ACCESSES_LOCAL if here else Vm.ACCESSES_REMOTE] += hits
        m.mm_change[s, mm, Change.LOCAL if here else Change.REMOTE] += hits
        cause = Cause.ACCESS_LOCAL if here else Cause.ACCESS_REMOTE
        m.cause[s, task, cause] += hits * _price_of(m, task, nid, refs)
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
            counts[HitCount.PAID] += 1
    return entry


@inlined
def _pay_huge(entry, owes, here, counts):
    """Take a use off what the folio of an entry owes; return the entry."""
    if entry & PMD_OWES and here:
        b = (entry & PTE_PAYLOAD) >> HPAGE_PMD_ORDER
        owes[b] -= 1
        if owes[b] == 0:
            entry &= ~PMD_OWES
            counts[HitCount.PAID] += HPAGE_PMD_NR
    return entry


@inlined
def frame_of(entry, at, leaf):
    """Return the frame of a page, ``entry`` the one of a PMD if ``leaf``."""
    if leaf:
        return (entry & PTE_PAYLOAD) + (at & HPAGE_PMD_NR - 1)
    return entry & PTE_PAYLOAD


@inlined
def take_lines(m, entry, at, leaf, nid, write, counts):
    """Note whose caches have the lines of a page that a task of ``nid`` uses.

    entry  the present one that maps it, of a PMD if ``leaf``
    """
    frame = frame_of(entry, at, leaf)
    other = other_writer(m, frame, nid)
    if other != NONE:
        counts[lines_at(m.node.shape[0], other)] += 1
    if write:
        note_writer(m, frame, nid)


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
    if m.info[Info.LINES] and entry & PTE_PRESENT:
        take_lines(m, entry, at, leaf != 0, m.task[task, Task.NID], write, counts)
    if m.info[Info.CONTENT] and write:
        note_written(m, frame_of(entry, at, leaf != 0))
    if leaf:
        m.pmd[block] = _pay_huge(entry, m.block_owes, here, counts)
    else:
        m.pte[at] = _pay(entry, here, counts)


@inlined
def translate(m, task, s, at, counts):
    """Look an access up in its task's TLB, after the fact, and count a miss.

    Return whether a walk went to memory.
    """
    pmd = m.pmd[at >> HPAGE_PMD_ORDER]
    row = m.tlb[m.task[task, Task.OWNER], s]
    sets = m.info[Info.TLB_SETS_4K]
    nodes = m.node.shape[0]
    if pmd & PMD_LEAF:
        block = at >> HPAGE_PMD_ORDER
        if tlb_miss(row, sets * WAYS, m.info[Info.TLB_SETS_2M], block):
            nid = m.mm[m.task[task, Task.MM], Mm.PGD_NID]
            return walk(row, 1, block, nid, nodes, counts)
    elif tlb_miss(row, 0, sets, at):
        return walk(row, 0, at, (pmd & PMD_NID) >> PMD_NID_SHIFT, nodes, counts)
    return False


@inlined
def hit_one(m, s, word, counts):
    """Do what the hardware does for an access that needs no fault.

    s  shard of the access
    Return whether a page walk went to memory.
    """
    task = task_in(word)
    at = (word & ACCESS_VPN) + m.task[task, Task.DELTA]
    counts[HitCount.NODES + hit_node(m, task, entry_of(m, at))] += 1
    touch(m, task, at, word & ACCESS_WRITE != 0, counts)
    if m.info[Info.TLB_SETS_4K]:
        return translate(m, task, s, at, counts)
    return False


@inlined
def _ask_ahead(pte, pmd, task, ahead, delta, leaf, mapped):
    """Prefetch the entries of an access that comes later."""
    if mapped:
        # Most likely the same task's, and mapped as the last one was.
        at = (ahead & ACCESS_VPN) + delta
        prefetch(pmd, at >> HPAGE_PMD_ORDER)
        if not leaf:
            prefetchw(pte, at)
    else:
        delta = task[task_in(ahead), Task.DELTA]
        prefetchw(pte, (ahead & ACCESS_VPN) + delta)


@inlined
def _hit_loop(m, s, k, run, mapped, lines, content):
    """Serve accesses of a run from ``k`` while they hit; return where that ended.

    mapped  constant: whether blocks may be mapped whole, and whether there may be TLBs
    lines   constant: whether it counts which caches have a page's lines
    content constant: whether it notes which pages are written

    The bits that a write adds are computed, not branched on: writes come at random.
    """
    queued, counts, owner = run.queued, run.counts, task_of(run)
    # Columns are read once: the loop's stores could change them, for all LLVM knows.
    pte, pmd, owes, task = m.pte, m.pmd, m.block_owes, m.task
    delta, cpu_nid = task[owner, Task.DELTA], task[owner, Task.NID]
    shift = m.info[Info.NODE_SHIFT]
    tlb, nodes = from_start(m.tlb[task[owner, Task.OWNER], s]), m.node.shape[0]
    small, huge = m.info[Info.TLB_SETS_4K], m.info[Info.TLB_SETS_2M]
    pgd_nid = m.mm[task[owner, Task.MM], Mm.PGD_NID]
    leaf = False
    while k < run.end:
        word = queued[k]
        if run_of(word) != run.bits:
            break
        if k + DISTANCE < run.last:
            _ask_ahead(pte, pmd, task, queued[k + DISTANCE], delta, leaf, mapped)
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need, bits = PTE_PRESENT | write * PTE_WRITE, PTE_YOUNG | write * PTE_DIRTY
        block = at >> HPAGE_PMD_ORDER
        upper = pmd[block] if mapped else 0
        leaf = upper & PMD_LEAF != 0
        entry = upper if leaf else pte[at]
        nid = cpu_nid
        if entry & (need | PTE_PROTNONE) != need:
            if not is_hit(entry, write == 1):
                break
        else:
            nid = (entry & PTE_PAYLOAD) >> shift
            if lines:
                take_lines(m, entry, at, leaf, cpu_nid, write == 1, counts)
            if content and write:
                note_written(m, frame_of(entry, at, leaf))
        counts[HitCount.NODES + nid] += 1
        if leaf:
            if entry & (bits | PMD_OWES) != bits:
                pmd[block] = _pay_huge(entry | bits, owes, nid == cpu_nid, counts)
            if huge and tlb_miss(tlb, small * WAYS, huge, block):
                walk(tlb, 1, block, pgd_nid, nodes, counts)
        else:
            if entry & (bits | PTE_OWES) != bits:
                pte[at] = _pay(entry | bits, nid == cpu_nid, counts)
            if mapped and small and tlb_miss(tlb, 0, small, at):
                table = (upper & PMD_NID) >> PMD_NID_SHIFT
                walk(tlb, 0, at, table, nodes, counts)
        k += 1
    return k


@inlined
def is_plain(m):
    """Tell whether there are neither huge pages nor TLBs, nor more to be noted."""
    if m.info[Info.LINES] or m.info[Info.CONTENT]:
        return False
    return not m.info[Info.MAY_BE_HUGE] and not m.info[Info.TLB_SETS_4K]


@inlined
def ask_ahead(m, k, run):
    """Prefetch for an access that comes later, as the loop does."""
    if k + DISTANCE < run.last:
        delta = m.task[task_of(run), Task.DELTA]
        ahead = run.queued[k + DISTANCE]
        _ask_ahead(m.pte, m.pmd, m.task, ahead, delta, False, not is_plain(m))


# Functions of their own, so that the faults' code, and that of huge pages, TLBs and
# lines, does not cost the hits registers.


@called
def _serve_hits(m, s, k, run):
    return _hit_loop(m, s, k, run, False, False, False)


@called
def _serve_hits_mapped(m, s, k, run):
    return _hit_loop(m, s, k, run, True, False, False)


@called
def _serve_hits_lines(m, s, k, run):
    return _hit_loop(m, s, k, run, True, True, False)


@called
def _serve_hits_content(m, s, k, run):
    return _hit_loop(m, s, k, run, True, False, True)


@called
def _serve_hits_all(m, s, k, run):
    return _hit_loop(m, s, k, run, True, True, True)


@inlined
def hits_from(m, s, k, run):
    """Serve a run's hits from ``k``; return the first access that is not one."""
    if is_plain(m):
        return _serve_hits(m, s, k, run)
    if m.info[Info.CONTENT]:
        if m.info[Info.LINES]:
            return _serve_hits_all(m, s, k, run)
        return _serve_hits_content(m, s, k, run)
    if m.info[Info.LINES]:
        return _serve_hits_lines(m, s, k, run)
    return _serve_hits_mapped(m, s, k, run)
