"""The batch of new pages that a CPU has yet to put on the LRU (mm/swap.c, 6.1).

``docs/model.md`` §5.12.  Who holds a batch holds a reference of its pages: they cannot
be isolated, and are nobody's alone.  The CPUs of a node share one batch here; batches
are kept in the script's order only (``info[LRU_BATCHES]``).
"""

from typing import Final

from ..jit.compile import called, inlined
from ..state import Info, Node

#: Pages of a batch that is put on the LRU (PAGEVEC_SIZE).
PAGEVEC_SIZE: Final = 15


@inlined
def folio_add_lru(m, nid, pfn):
    """Put a new page into the batch of a CPU of a node."""
    if m.info[Info.LRU_BATCHES]:
        count = m.node[nid, Node.BATCHED]
        m.node[nid, Node.BATCH + count] = pfn
        m.node[nid, Node.BATCHED] = (count + 1) % PAGEVEC_SIZE


@inlined
def lru_add_drain(m, nid):
    """Put what is in a batch on the LRU."""
    if m.info[Info.LRU_BATCHES]:
        m.node[nid, Node.BATCHED] = 0


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
