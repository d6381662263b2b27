"""Which node a page should come from, and whether it is on the wrong one.

Policies are those of mm/mempolicy.c (6.12): ``docs/model/placement.md`` 1 to 6 for
allocation, 8 for ``mpol_misplaced``.  A policy is a tuple: mode, mask of nodes, row of
weights (bind and preferred_many: home node and one, or 0).
"""

from ..counters import Vm
from ..frames.allotment import rmqueue_shard
from ..frames.page_alloc import node_of, rmqueue
from ..jit.compile import inlined
from ..knobs import Mode
from ..state import NO_MEMORY, PUT_ASIDE, Info, Node, Task, Vma
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE

ALL_NODES = -1


@inlined
def in_mask(mask, nid):
    return (mask >> nid) & 1 == 1


@inlined
def policy_of(m, task, v):
    """Return (mode, mask, row of weights) of a VMA's policy, or of the task's."""
    mode = m.vma[v, Vma.MODE]
    if mode != Mode.DEFAULT:
        return mode, m.vma[v, Vma.MASK], m.vma[v, Vma.WEIGHTS]
    mode = m.task[task, Task.MODE]
    return mode, m.task[task, Task.MASK], m.task[task, Task.WEIGHTS]


@inlined
def is_interleave(mode):
    return mode == Mode.INTERLEAVE or mode == Mode.WEIGHTED_INTERLEAVE


@inlined
def _nth_node(mask, k):
    """Return the k-th node of a mask that has more than k."""
    nid = 0
    while True:
        if in_mask(mask, nid):
            if k == 0:
                return nid
            k -= 1
        nid += 1


@inlined
def _nodes_in(m, mask):
    count = 0
    for nid in range(m.node.shape[0]):
        if in_mask(mask, nid):
            count += 1
    return count


@inlined
def _interleave_nid(m, mode, mask, row, ilx):
    """Return the node of page ``ilx`` (interleave_nid, weighted_interleave_nid)."""
    if mode == Mode.INTERLEAVE:
        return _nth_node(mask, ilx % _nodes_in(m, mask))
    last = m.weights.shape[1] - 1
    offset = ilx % m.weights[row, last]
    nid = 0
    while m.weights[row, nid] <= offset:
        nid += 1
    return nid


@inlined
def interleave_index(m, v, vpn, order):
    """Return what a page, or the huge page it is part of, is interleaved by.

    get_vma_policy (mm/mempolicy.c, 6.12), interleave_nid (6.1): where the VMA begins
    and how far behind that the page lies are rounded down each for itself.
    """
    if order == 0:
        return vpn + m.vma[v, Vma.PGOFF]
    start = m.vma[v, Vma.START]
    first = max(vpn & ~(HPAGE_PMD_NR - 1), start)
    return ((start + m.vma[v, Vma.PGOFF]) >> order) + ((first - start) >> order)


@inlined
def first_candidate(m, base, mask):
    """Return the first online node of a zonelist that is in the mask, or NONE."""
    for j in range(m.node.shape[0]):
        nid = m.zonelist[base, j]
        if in_mask(mask, nid) and m.node[nid, Node.ONLINE]:
            return nid
    return NONE


@inlined
def preferred_node(m, base, mask, nid):
    """Return the first candidate, which is usually ``nid``."""
    return nid if nid == m.zonelist[base, 0] else first_candidate(m, base, mask)


@inlined
def _above(m, base, mask, mark):
    """Return the first candidate with more free frames than its watermark, or NONE."""
    for j in range(m.node.shape[0]):
        nid = m.zonelist[base, j]
        if not in_mask(mask, nid) or not m.node[nid, Node.ONLINE]:
            continue
        if m.node[nid, Node.FREE] > m.node[nid, mark]:
            return nid
    return NONE


@inlined
def node_above_low(m, base, mask):
    """Return the node that a shard allocates on, or NONE."""
    return _above(m, base, mask, Node.LOW)


@inlined
def _wake_kswapds(m, base, mask):
    for j in range(m.node.shape[0]):
        nid = m.zonelist[base, j]
        if in_mask(mask, nid) and m.node[nid, Node.ONLINE]:
            m.node[nid, Node.KSWAPD_WOKEN] = 1


@inlined
def count_allocations(m, s, nid, preferred, cpu_nid, mode, pages):
    """Count allocations of ``pages`` single pages as mm/page_alloc.c does."""
    m.vm[s, nid, Vm.PGALLOC_NORMAL] += pages
    if nid == preferred:
        m.vm[s, nid, Vm.NUMA_HIT] += pages
        if mode == Mode.INTERLEAVE:
            m.vm[s, nid, Vm.NUMA_INTERLEAVE] += pages
    else:
        m.vm[s, nid, Vm.NUMA_MISS] += pages
        m.vm[s, preferred, Vm.NUMA_FOREIGN] += pages
    if nid == cpu_nid:
        m.vm[s, nid, Vm.NUMA_LOCAL] += pages
    else:
        m.vm[s, nid, Vm.NUMA_OTHER] += pages


@inlined
def zone_statistics(m, s, nid, preferred, cpu_nid, mode):
    """Count one allocation."""
    count_allocations(m, s, nid, preferred, cpu_nid, mode, 1)


@inlined
def zonelist_of(m, task, v, vpn, order, mode, mask, row):
    """Return (node whose zonelist is used, mask of its first pass).

    order  0 for a small page; 9 for a huge page: interleaving then counts huge pages
    """
    return _zonelist_from(m, m.task[task, Task.NID], v, vpn, order, mode, mask, row)


@inlined
def _zonelist_from(m, nid, v, vpn, order, mode, mask, row):
    """The same; ``nid`` is the node of a policy that names none (policy_node)."""
    ilx = interleave_index(m, v, vpn, order) if is_interleave(mode) else 0
    return policy_nodemask(m, nid, ilx, mode, mask, row)


@inlined
def policy_nodemask(m, nid, ilx, mode, mask, row):
    """The same; ``ilx`` is what is interleaved by."""
    if mode == Mode.PREFERRED:
        return _nth_node(mask, 0), ALL_NODES
    if mode == Mode.BIND or mode == Mode.PREFERRED_MANY:
        # The row of these two is that of no weights, but their home node and one.
        return (row - 1 if row > 0 else nid), mask
    if not is_interleave(mode):
        return nid, ALL_NODES
    return _interleave_nid(m, mode, mask, row, ilx), ALL_NODES


@inlined
def choose_serial(m, base, mask, wake):
    nid = _above(m, base, mask, Node.LOW)
    if nid != NONE:
        return nid
    if wake:
        _wake_kswapds(m, base, mask)
    return _above(m, base, mask, Node.MIN)


@inlined
def alloc_serial(m, task, base, mask, mode, wake):
    """Allocate by the serial rules; with ``wake`` kswapd may be woken."""
    s = m.info[Info.SHARDS]
    nid = choose_serial(m, base, mask, wake)
    if nid == NONE and mode == Mode.PREFERRED_MANY:
        mask = ALL_NODES
        nid = choose_serial(m, base, mask, wake)
    if nid == NONE:
        return NO_MEMORY
    preferred = preferred_node(m, base, mask, nid)
    zone_statistics(m, s, nid, preferred, m.task[task, Task.NID], mode)
    return rmqueue(m, nid)


@inlined
def alloc_shard(m, s, task, base, mask, mode):
    nid = node_above_low(m, base, mask)
    if nid == NONE:
        return PUT_ASIDE
    pfn = rmqueue_shard(m, s, nid)
    if pfn < 0:
        return PUT_ASIDE
    preferred = preferred_node(m, base, mask, nid)
    zone_statistics(m, s, nid, preferred, m.task[task, Task.NID], mode)
    return pfn


@inlined
def alloc_page_vma(m, s, task, v, vpn, wake):
    """Allocate a frame for a page by policy; NO_MEMORY or PUT_ASIDE if it fails."""
    mode, mask, row = policy_of(m, task, v)
    base, mask = zonelist_of(m, task, v, vpn, 0, mode, mask, row)
    if s != m.info[Info.SHARDS]:
        return alloc_shard(m, s, task, base, mask, mode)
    return alloc_serial(m, task, base, mask, mode, wake)


@inlined
def has_frames(m, task, v, pages):
    """Tell whether all nodes that a policy may use have frames above their min."""
    mode, mask, _ = policy_of(m, task, v)
    if mode != Mode.BIND:
        mask = ALL_NODES
    left = pages
    for nid in range(m.node.shape[0]):
        if in_mask(mask, nid) and m.node[nid, Node.ONLINE]:
            left -= max(0, m.node[nid, Node.FREE] - m.node[nid, Node.MIN])
    return left <= 0


@inlined
def alloc_page_vma_node(m, task, v, vpn, nid):
    """Allocate a frame by policy outside of any shard, for a CPU of node ``nid``."""
    mode, mask, row = policy_of(m, task, v)
    base, mask = _zonelist_from(m, nid, v, vpn, 0, mode, mask, row)
    return alloc_serial(m, task, base, mask, mode, True)


@inlined
def alloc_on_node(m, s, nid, cpu_nid, mark, margin):
    """Allocate on exactly one node, above a watermark plus ``margin``.

    NO_MEMORY if it is offline or has no more than that, PUT_ASIDE if the shard's
    allotment is used up.
    """
    if (
        not m.node[nid, Node.ONLINE]
        or m.node[nid, Node.FREE] <= m.node[nid, mark] + margin
    ):
        return NO_MEMORY
    if s == m.info[Info.SHARDS]:
        pfn = rmqueue(m, nid)
    else:
        pfn = rmqueue_shard(m, s, nid)
    if pfn >= 0:
        zone_statistics(m, s, nid, nid, cpu_nid, Mode.DEFAULT)
    return pfn


@inlined
def mpol_misplaced(m, task, v, vpn, pfn):
    """Return the node that a page should be on, or NONE if it is well placed.

    mpol_misplaced (mm/mempolicy.c, 6.12) without MPOL_F_MORON.  ``pfn`` is the page's
    frame; a part of a huge page belongs where the whole huge page belongs.
    """
    mode, mask, row = policy_of(m, task, v)
    nid = m.task[task, Task.NID]
    page_nid = node_of(m, pfn)
    if is_interleave(mode):
        order = HPAGE_PMD_ORDER if m.block_huge[pfn >> HPAGE_PMD_ORDER] else 0
        ilx = interleave_index(m, v, vpn, order)
        nid = _interleave_nid(m, mode, mask, row, ilx)
    elif mode != Mode.DEFAULT and mode != Mode.LOCAL:
        if in_mask(mask, page_nid):
            return NONE
        if mode == Mode.PREFERRED:
            nid = _nth_node(mask, 0)
        else:
            nid = first_candidate(m, nid, mask)
    return NONE if nid == page_nid else nid
