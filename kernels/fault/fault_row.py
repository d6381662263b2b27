"""Faults that come in a row, each like the one before: what they share is done once.

A shard that fills memory, or brings it to its task's node, takes millions of them.
VMA, policy, target, watermarks and costs stay the same as long as the quantum, so a row
looks them up once and counts once at its end.  It ends with the first access that is
not alike, which ``handle_mm_fault`` serves.  A row does nothing that this would not do,
one fault after the other.
"""

from ..jit.compile import inlined
from ..lazy.hinting import hint_faults
from ..lazy.migcache import migcache_faults
from ..lazy.swapcache import swapcache_faults
from ..state import Task
from ..words import ACCESS_TASK_SHIFT, ACCESS_VPN, PTE_PARKED, PTE_PROTNONE, PTE_SWAP
from .anon_page import new_pages


@inlined
def serve_row(m, s, queued, k, end, last, run, counts):
    """Serve a row of faults from ``k``; return the first access that is not of it.

    For address spaces of small pages, without TLBs.  ``run``: what the accesses of the
    task and tail have in common; ``counts``: hits, as for ``kernels/serve.py``
    """
    word = queued[k]
    pte = m.pte[(word & ACCESS_VPN) + m.task[run >> ACCESS_TASK_SHIFT, Task.DELTA]]
    if pte == 0:
        return new_pages(m, s, queued, k, end, last, run, counts)
    if pte & PTE_SWAP:
        return swapcache_faults(m, s, queued, k, end, last, run, counts)
    if pte & PTE_PARKED:
        return migcache_faults(m, s, queued, k, end, last, run, counts)
    if pte & PTE_PROTNONE:
        return hint_faults(m, s, queued, k, end, last, run, counts)
    return k
