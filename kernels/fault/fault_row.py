"""Faults that come in a row, each like the one before: what they share is done once.

A shard that fills memory, or brings it to its task's node, takes millions of them.
VMA, policy, target, watermarks and costs stay the same during a quantum, so a row
looks them up once and counts once at its end.  It ends with the first access that is
not alike, which ``handle_mm_fault`` serves.  A row changes what ``handle_mm_fault``
would change, one fault after the other, and both use the same words and counts.
The loops are the speed: one by one a hint fault takes 56 ns instead of 28, one on the
swap cache 84 instead of 42, a first touch 40 instead of 18 (``docs/performance.md``).
"""

from ..access_run import task_of
from ..frames.swap_state import kind_of
from ..jit.compile import inlined
from ..lazy.designs import parked_faults
from ..lazy.hinting import hint_faults
from ..state import Task
from ..words import ACCESS_VPN, PTE_KIND, PTE_PROTNONE
from .anon_page import new_pages


@inlined
def serve_row(m, s, k, run):
    """Serve a row of faults from access ``k``; return the first that is not of it.

    For address spaces of small pages, without TLBs.
    """
    pte = m.pte[(run.queued[k] & ACCESS_VPN) + m.task[task_of(run), Task.DELTA]]
    if pte == 0:
        return new_pages(m, s, k, run)
    if pte & PTE_KIND:
        return parked_faults(m, s, k, run, kind_of(pte))
    if pte & PTE_PROTNONE:
        return hint_faults(m, s, k, run)
    return k
