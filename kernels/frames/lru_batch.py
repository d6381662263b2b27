"""The batch of new pages that a CPU has yet to put on the LRU (mm/swap.c, 6.1).

``docs/model/page.md`` 11.  A batch holds a reference to each page, so none can be
isolated or taken for private.  The CPUs of a node share one batch here.  There are
batches in sequential mode only (``info[LRU_BATCHES]``).
"""

from ..jit.compile import called, inlined
from ..state import Info, Node


@inlined
def folio_add_lru(m, nid, pfn):
    """Put a new page into the batch of a node's CPUs; a full batch is emptied."""
    if m.info[Info.LRU_BATCHES]:
        count = m.node[nid, Node.BATCHED]
        m.node[nid, Node.BATCH + count] = pfn
        m.node[nid, Node.BATCHED] = (count + 1) % m.info[Info.LRU_BATCHES]


@inlined
def lru_add_drain(m, nid):
    """Put all pages of a batch on the LRU."""
    if m.info[Info.LRU_BATCHES]:
        m.node[nid, Node.BATCHED] = 0


@inlined
def folio_putback_lru(m, nid, pfn):
    """Put a page that a CPU of a node has moved into their batch.

    From 5.18 to 6.2 a mapped one empties it (__unmap_and_move, c3096e6782b7).
    """
    folio_add_lru(m, nid, pfn)
    if m.info[Info.LRU_DRAIN_AT_MOVE]:
        lru_add_drain(m, nid)


@called
def _in_any_batch(m, pfn):
    for n in range(m.node.shape[0]):
        for i in range(m.node[n, Node.BATCHED]):
            if m.node[n, Node.BATCH + i] == pfn:
                return True
    return False


@inlined
def in_batch(m, pfn):
    """Tell whether a page is not on the LRU yet."""
    return m.info[Info.LRU_BATCHES] != 0 and _in_any_batch(m, pfn)


@inlined
def held_by_batch(m, nid, pfn):
    """Drain a node's batch if a page is not on the LRU; tell whether another has it."""
    if not in_batch(m, pfn):
        return False
    lru_add_drain(m, nid)
    return in_batch(m, pfn)
