"""Direct compaction (mm/compaction.c), bounded to one pageblock for each call.

``docs/model/placement.md`` 12.  The migrate scanner goes up and finds the block to
empty; the free scanner goes down and finds the blocks that its pages move to.  Serial
work.
"""

from typing import Final

from ..counters import Cause, Op, Vm, Worker
from ..frames.account import node_worker
from ..frames.page_alloc import rmqueue_block
from ..jit.compile import called, inlined
from ..state import BlockList, Cost, Info, Node
from ..words import (
    FRAME_IN_USE,
    FRAME_KIND,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
)
from .migrate import migrate_folio_move

COMPACT_MAX_DEFER_SHIFT: Final = 6


@inlined
def _compaction_deferred(m, n):
    considered = m.node[n, Node.COMPACT_CONSIDERED] + 1
    if considered >= 1 << m.node[n, Node.COMPACT_SHIFT]:
        return False
    m.node[n, Node.COMPACT_CONSIDERED] = considered
    return True


@inlined
def _room(m, b):
    """Return how many pages may move to a block."""
    if m.block_list[b] != BlockList.PARTIAL:
        return 0
    return HPAGE_PMD_NR - int(m.block_used[b])


@inlined
def _movable(m, b):
    if m.block_list[b] != BlockList.PARTIAL:
        return False
    first = b << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        word = m.frame[pfn]
        if word & FRAME_IN_USE and word & FRAME_KIND:
            return False
    return True


@inlined
def _find_source(m, n, source, target):
    """Return the lowest movable block with room for its pages above it, or NONE."""
    room = 0
    for b in range(source, target + 1):
        room += _room(m, b)
    while source < target:
        m.vm[m.info[Info.SHARDS], n, Vm.COMPACT_MIGRATE_SCANNED] += HPAGE_PMD_NR
        room -= _room(m, source)
        if m.block_used[source] <= room and _movable(m, source):
            return source
        source += 1
    return NONE


@inlined
def _move_pages_up(m, n, source, target, task):
    """Empty a block into the highest ones with room; return the last one filled."""
    s = m.info[Info.SHARDS]
    first = source << HPAGE_PMD_ORDER
    for pfn in range(first, first + HPAGE_PMD_NR):
        if not m.frame[pfn] & FRAME_IN_USE:
            continue
        while _room(m, target) == 0:
            target -= 1
            m.vm[s, n, Vm.COMPACT_FREE_SCANNED] += HPAGE_PMD_NR
        m.vm[s, n, Vm.COMPACT_ISOLATED] += 1
        migrate_folio_move(m, s, pfn, rmqueue_block(m, n, target))
        ns = m.cost[Cost.MIGRATE_PAGE] + m.copy_ns[n, n]
        if task != NONE:
            m.cause[s, task, Cause.COMPACTION] += ns
            m.ops[s, task, Op.MIGRATE] += 1
        else:
            row = node_worker(m, Worker.KCOMPACTD, n)
            m.worker_ops[row, Op.MIGRATE] += 1
            m.worker_ops[row, Op.WORK_NS] += ns
    return target


@called
def compact_zone(m, n, task):
    """Try to make one block of a node wholly free, and charge ``task`` for it.

    task  NONE for kcompactd, whose work is free of charge
    """
    s = m.info[Info.SHARDS]
    if _compaction_deferred(m, n):
        return
    if m.node[n, Node.FREE] <= m.node[n, Node.LOW] + 2 * HPAGE_PMD_NR:
        return
    m.vm[s, n, Vm.COMPACT_STALL] += 1
    first = n << (m.info[Info.NODE_SHIFT] - HPAGE_PMD_ORDER)
    last = m.node[n, Node.END_BLOCK] - 1
    target = last - m.node[n, Node.HAND_FREE]
    source = _find_source(m, n, first + m.node[n, Node.HAND_MIGRATE], target)
    m.node[n, Node.COMPACT_CONSIDERED] = 0
    if source == NONE:
        m.node[n, Node.HAND_MIGRATE] = 0
        m.node[n, Node.HAND_FREE] = 0
        m.node[n, Node.COMPACT_SHIFT] = min(
            m.node[n, Node.COMPACT_SHIFT] + 1, COMPACT_MAX_DEFER_SHIFT
        )
        m.vm[s, n, Vm.COMPACT_FAIL] += 1
        return
    target = _move_pages_up(m, n, source, target, task)
    m.node[n, Node.HAND_MIGRATE] = source + 1 - first
    m.node[n, Node.HAND_FREE] = last - target
    m.node[n, Node.COMPACT_SHIFT] = 0
    m.vm[s, n, Vm.COMPACT_SUCCESS] += 1
