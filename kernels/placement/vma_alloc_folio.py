"""Blocks of 512 frames by policy, local first (alloc_pages_mpol, mm/mempolicy.c, 6.12).

``docs/model/placement.md`` 7.
"""

from ..counters import Vm
from ..frames.allotment import rmqueue_huge_shard
from ..frames.page_alloc import rmqueue_huge
from ..jit.compile import called, inlined
from ..knobs import Advice, Mode, ThpDefrag
from ..state import FALLBACK, NO_MEMORY, PUT_ASIDE, Info, Node, Task, Vma
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE
from .asked import touched_base
from .compaction import compact_zone
from .mempolicy import (
    ALL_NODES,
    first_candidate,
    in_mask,
    is_interleave,
    policy_of,
    zone_statistics,
    zonelist_of,
)


@inlined
def _above(m, n, mark, margin):
    """Tell whether a node stays above a watermark: free - 511 > mark + margin."""
    return m.node[n, Node.FREE] - (HPAGE_PMD_NR - 1) > m.node[n, mark] + margin


@inlined
def has_room(m, n, mark):
    """Tell whether a node has a whole block above a watermark."""
    return m.node[n, Node.WHOLE] > 0 and _above(m, n, mark, 0)


@inlined
def _may_reclaim(m, v):
    """Tell whether a fault may compact (GFP_TRANSHUGE against GFP_TRANSHUGE_LIGHT)."""
    defrag = m.info[Info.THP_DEFRAG]
    if defrag == ThpDefrag.MADVISE or defrag == ThpDefrag.DEFER_MADVISE:
        return m.vma[v, Vma.ADVICE] == Advice.HUGEPAGE
    return defrag == ThpDefrag.ALWAYS


@inlined
def _wakes(m, direct):
    """Tell whether a fault that finds no block wakes daemons (__GFP_KSWAPD_RECLAIM)."""
    defrag = m.info[Info.THP_DEFRAG]
    return defrag == ThpDefrag.DEFER or (
        defrag == ThpDefrag.DEFER_MADVISE and not direct
    )


@inlined
def _statistics(m, s, n, preferred, cpu_nid, mode):
    zone_statistics(m, s, n, preferred, cpu_nid, mode)
    m.vm[s, n, Vm.PGALLOC_NORMAL] += HPAGE_PMD_NR - 1


@inlined
def _first_with_room(m, base, mask, mark):
    for j in range(m.node.shape[0]):
        n = m.zonelist[base, j]
        if in_mask(mask, n) and m.node[n, Node.ONLINE] and has_room(m, n, mark):
            return n
    return NONE


@inlined
def _wake(m, base, mask):
    for j in range(m.node.shape[0]):
        n = m.zonelist[base, j]
        if in_mask(mask, n) and m.node[n, Node.ONLINE]:
            m.node[n, Node.KSWAPD_WOKEN] = 1
            m.node[n, Node.KCOMPACTD_WOKEN] = 1


@inlined
def _choose(m, base, mask, wakes):
    """Return the node that gives a block from the free lists, or NONE."""
    n = _first_with_room(m, base, mask, Node.LOW)
    if n != NONE:
        return n
    if wakes:
        _wake(m, base, mask)
    return _first_with_room(m, base, mask, Node.MIN)


@inlined
def _anywhere(m, base, mask):
    n = _first_with_room(m, base, mask, Node.LOW)
    return n if n != NONE else _first_with_room(m, base, mask, Node.MIN)


@called
def alloc_huge_serial(m, task, at, v, vpn, direct, wakes):
    """Allocate a block by policy, outside of any shard; FALLBACK if that fails.

    at      index of the PTE of a first touch; NONE: it is none
    direct  whether it may compact
    wakes   whether it wakes kswapd and kcompactd
    """
    mode, mask, row = policy_of(m, task, v)
    base, mask = zonelist_of(m, task, v, vpn, HPAGE_PMD_ORDER, mode, mask, row)
    if at != NONE:
        s = m.info[Info.SHARDS]
        base = touched_base(m, s, task, at, v, v, HPAGE_PMD_NR, base, mask)
    return alloc_huge_from(m, task, base, mask, mode, direct, wakes)


@called
def alloc_huge_from(m, task, base, mask, mode, direct, wakes):
    """The same, from the zonelist of ``base``."""
    preferred = first_candidate(m, base, mask)
    if preferred == NONE:
        return FALLBACK
    if is_interleave(mode):
        n = _choose(m, base, mask, wakes)
    else:
        local = 1 << preferred
        n = _choose(m, base, local, wakes)
        if n == NONE and direct:
            compact_zone(m, preferred, task)
            n = _first_with_room(m, base, local, Node.MIN)
        if n == NONE and direct:
            if mode == Mode.PREFERRED_MANY:
                mask = ALL_NODES
                preferred = first_candidate(m, base, mask)
            n = _anywhere(m, base, mask)
    if n == NONE:
        return FALLBACK
    _statistics(m, m.info[Info.SHARDS], n, preferred, m.task[task, Task.NID], mode)
    return rmqueue_huge(m, n)


@inlined
def _alloc_shard(m, s, task, at, v, vpn, direct, wakes):
    mode, mask, row = policy_of(m, task, v)
    if is_interleave(mode):
        return PUT_ASIDE
    base, mask = zonelist_of(m, task, v, vpn, HPAGE_PMD_ORDER, mode, mask, row)
    if at != NONE:
        base = touched_base(m, s, task, at, v, v, HPAGE_PMD_NR, base, mask)
    n = first_candidate(m, base, mask)
    if n == NONE:
        return PUT_ASIDE
    if m.node[n, Node.WHOLE_AT_START] == 0 and not direct:
        if wakes:
            # Shards may race here, but all of them write the same value.
            _wake(m, base, 1 << n)
        return FALLBACK
    if not _above(m, n, Node.LOW, 0):
        return PUT_ASIDE
    b = rmqueue_huge_shard(m, s, n)
    if b >= 0:
        _statistics(m, s, n, n, m.task[task, Task.NID], mode)
    return b


@inlined
def vma_alloc_folio(m, s, task, v, vpn):
    """Allocate a block for a copy; FALLBACK or PUT_ASIDE if there is none."""
    return vma_alloc_new_folio(m, s, task, NONE, v, vpn)


@inlined
def vma_alloc_new_folio(m, s, task, at, v, vpn):
    """The same for the first touch of a block, of the page whose PTE has index ``at``.

    A user's policy may say where; its answer waits until the fault is served.
    """
    direct = _may_reclaim(m, v)
    wakes = _wakes(m, direct)
    if s != m.info[Info.SHARDS]:
        return _alloc_shard(m, s, task, at, v, vpn, direct, wakes)
    return alloc_huge_serial(m, task, at, v, vpn, direct, wakes)


@inlined
def alloc_huge_on_node(m, s, n, cpu_nid, mark, margin):
    """Allocate a block on exactly one node, above a watermark plus ``margin``.

    NO_MEMORY if it is offline, below that or fragmented, PUT_ASIDE if the shard's
    allotment is used up.
    """
    whole = Node.WHOLE if s == m.info[Info.SHARDS] else Node.WHOLE_AT_START
    if (
        not m.node[n, Node.ONLINE]
        or m.node[n, whole] == 0
        or not _above(m, n, mark, margin)
    ):
        return NO_MEMORY
    b = rmqueue_huge(m, n) if s == m.info[Info.SHARDS] else rmqueue_huge_shard(m, s, n)
    if b >= 0:
        _statistics(m, s, n, n, cpu_nid, Mode.DEFAULT)
    return b
