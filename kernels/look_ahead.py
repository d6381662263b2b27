"""What accesses to come will need, asked for while others are served.

An access waits for its PTE, a fault for what that leads to besides.  Each is prefetched
so many accesses before its use that memory has answered, in the order of a chain.
"""

from ._jit import inlined
from ._prefetch import prefetch
from .accesses import ACCESS_TASK_SHIFT, ACCESS_VPN
from .constants import (
    HPAGE_PMD_ORDER,
    NONE,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_SWAP,
)
from .state import TASK_DELTA

#: Accesses between the prefetch of a PTE and its use ...
DISTANCE = 64
#: ... and of what the PTE leads to, and of what that leads to.
DISTANCE_PAGE = 32
DISTANCE_CACHED = 16


@inlined
def _at(m, word):
    return (word & ACCESS_VPN) + m.task[word >> ACCESS_TASK_SHIFT, TASK_DELTA]


@inlined
def _ask_for_tables(m, word):
    """Prefetch the entries of an access."""
    at = _at(m, word)
    prefetch(m.pte, at)
    prefetch(m.pmd, at >> HPAGE_PMD_ORDER)


@inlined
def _ask_for_page(m, word):
    """Prefetch what a fault on a page needs, by its PTE, which has arrived."""
    pte = m.pte[_at(m, word)]
    given = pte & PTE_PAYLOAD
    if pte & PTE_PRESENT:
        prefetch(m.frame, given)
    elif pte & PTE_SWAP:
        prefetch(m.slot_frame, given)
        prefetch(m.slot_count, given)
    elif pte & PTE_PARKED:
        prefetch(m.entry_frame, given)
        prefetch(m.entry_count, given)


@inlined
def _ask_for_cached(m, word):
    """Prefetch the frame of a parked page, by the slot or entry that has arrived."""
    pte = m.pte[_at(m, word)]
    if pte & PTE_SWAP:
        pfn = m.slot_frame[pte & PTE_PAYLOAD]
    elif pte & PTE_PARKED:
        pfn = m.entry_frame[pte & PTE_PAYLOAD]
    else:
        return
    if pfn != NONE:
        prefetch(m.frame, pfn)


@inlined
def look_at_first(m, queued, k, end):
    """Prefetch for the accesses that nothing was served before."""
    for i in range(k, min(k + DISTANCE, end)):
        _ask_for_tables(m, queued[i])


@inlined
def look_ahead(m, queued, k, last):
    """Prefetch for faults to come: where one page faults the next ones will, too."""
    if k + DISTANCE < last:
        _ask_for_tables(m, queued[k + DISTANCE])
    if k + DISTANCE_PAGE < last:
        _ask_for_page(m, queued[k + DISTANCE_PAGE])
        _ask_for_cached(m, queued[k + DISTANCE_CACHED])
