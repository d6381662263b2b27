"""MADV_POPULATE_READ and MADV_POPULATE_WRITE: faults of a range, without accesses.

``docs/model/calls.md`` 9.
"""

from ..counters import Vm
from ..doors import Door
from ..fault.anon_page import count_new_pages
from ..fault.memory import handle_mm_fault
from ..frames.page_table import entry_of, is_hit
from ..jit.compile import kernel
from ..knobs import Mode
from ..placement.mempolicy import (
    count_allocations,
    first_candidate,
    is_interleave,
    policy_of,
    zonelist_of,
)
from ..placement.migrate import lru_add
from ..state import SERVED, Info, Node, Task
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE, PMD_LEAF


@kernel
def virgin_blocks(m, task, v):
    """Return never used blocks that faults of a VMA would fill one after the other.

    (node, blocks); (NONE, 0) if the faults would differ
    """
    mode, mask, row = policy_of(m, task, v)
    if is_interleave(mode) or m.door[Door.FIRST_TOUCH]:
        return NONE, 0
    base, mask = zonelist_of(m, task, v, 0, 0, mode, mask, row)
    nid = first_candidate(m, base, mask)
    if nid == NONE or m.node[nid, Node.PARTIAL_HEAD] != NONE:
        return NONE, 0
    if m.node[nid, Node.RETURNED_HEAD] != NONE:
        return NONE, 0
    above = (m.node[nid, Node.FREE] - m.node[nid, Node.LOW]) // HPAGE_PMD_NR
    blocks = min(above, m.node[nid, Node.END_BLOCK] - m.node[nid, Node.VIRGIN])
    return (nid, blocks) if blocks > 0 else (NONE, 0)


@kernel
def account_blocks(m, task, nid, blocks):
    """Count what populating never used blocks of a node has done, as by faults."""
    s = m.info[Info.SHARDS]
    pages = blocks * HPAGE_PMD_NR
    first = m.node[nid, Node.VIRGIN]
    for b in range(first, first + blocks):
        m.block_used[b] = HPAGE_PMD_NR
    lru_add(m, s, first * HPAGE_PMD_NR, pages)
    m.node[nid, Node.VIRGIN] = first + blocks
    m.node[nid, Node.WHOLE] -= blocks
    m.node[nid, Node.FREE] -= pages
    cpu_nid = m.task[task, Task.NID]
    count_allocations(m, s, nid, nid, cpu_nid, Mode.DEFAULT, pages)
    count_new_pages(m, s, task, pages)
    m.vm[s, cpu_nid, Vm.PGFAULT] += pages


@kernel
def populate(m, task, first, pages, write):
    """Fault a range in, page by page; return how many pages can be used."""
    s = m.info[Info.SHARDS]
    delta = m.task[task, Task.DELTA]
    vpn, end = first, first + pages
    while vpn < end:
        at = vpn + delta
        while not is_hit(entry_of(m, at), write):
            if handle_mm_fault(m, s, task, at, vpn, write) != SERVED:
                return vpn - first
        if m.pmd[at >> HPAGE_PMD_ORDER] & PMD_LEAF:
            vpn = min(end, (vpn // HPAGE_PMD_NR + 1) * HPAGE_PMD_NR)
        else:
            vpn += 1
    return pages
