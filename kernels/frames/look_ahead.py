"""What accesses to come will need, asked for while others are served.

An access waits for its PTE, a fault for what that leads to besides.  Each is prefetched
so many accesses before its use that memory has answered, in the order of a chain.
"""

from ..jit.compile import called, inlined
from ..jit.prefetch import prefetch, prefetchw
from ..state import Task
from ..words import (
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_PARKED,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_SWAP,
)

#: Accesses between the prefetch of a PTE and its use, at least ...
DISTANCE = 64
#: ... and of what the PTE leads to, and of what that leads to.
DISTANCE_PAGE = 32
DISTANCE_CACHED = 16
#: Accesses to come that a fault asks for at once.
GROUP = 16


@inlined
def _at(m, word):
    return (word & ACCESS_VPN) + m.task[word >> ACCESS_TASK_SHIFT, Task.DELTA]


@inlined
def _ask_for_entries(m, queued, k, last):
    """Prefetch the PTEs of a group of accesses."""
    for i in range(k + DISTANCE, min(k + DISTANCE + GROUP, last)):
        prefetchw(m.pte, _at(m, queued[i]))


@inlined
def _ask_for_tables(m, queued, k, last):
    """Prefetch the PMD entries of a group of accesses."""
    for i in range(k + DISTANCE, min(k + DISTANCE + GROUP, last)):
        prefetch(m.pmd, _at(m, queued[i]) >> HPAGE_PMD_ORDER)


@inlined
def _ask_for_page(m, word):
    """Prefetch what a fault on a page needs, by its PTE, which has arrived."""
    pte = m.pte[_at(m, word)]
    given = pte & PTE_PAYLOAD
    if pte & PTE_PRESENT:
        prefetchw(m.frame, given)
    elif pte & PTE_SWAP:
        prefetchw(m.slot_frame, given)
        prefetchw(m.slot_count, given)
    elif pte & PTE_PARKED:
        prefetchw(m.entry_frame, given)
        prefetchw(m.entry_count, given)


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
        prefetchw(m.frame, pfn)


@inlined
def _ask_for_parked(m, cache, word):
    """Prefetch what a cache knows of a parked page, by its PTE, which has arrived."""
    pte = m.pte[_at(m, word)]
    if pte & cache.pte:
        prefetchw(cache.frames, pte & PTE_PAYLOAD)
        prefetchw(cache.holders, pte & PTE_PAYLOAD)


@inlined
def _ask_for_parked_frame(m, cache, word):
    """Prefetch the frame of a parked page, as its cache's word has arrived."""
    pte = m.pte[_at(m, word)]
    if pte & cache.pte:
        pfn = cache.frames[pte & PTE_PAYLOAD]
        if pfn != NONE:
            prefetchw(m.frame, pfn)


@inlined
def _ask_for_pages(m, queued, k, last):
    for i in range(k + DISTANCE_PAGE, min(k + DISTANCE_PAGE + GROUP, last)):
        _ask_for_page(m, queued[i])


@inlined
def look_at_first(m, queued, k, end):
    """Prefetch for the accesses that nothing was served before."""
    for i in range(k, min(k + DISTANCE, end)):
        at = _at(m, queued[i])
        prefetchw(m.pte, at)
        prefetch(m.pmd, at >> HPAGE_PMD_ORDER)


# Groups are asked for at once: an access's walk of the host's own page tables holds up
# what follows it, but not the next prefetch.


@called
def _ask_for_group(m, queued, k, last):
    _ask_for_entries(m, queued, k, last)
    _ask_for_tables(m, queued, k, last)
    _ask_for_pages(m, queued, k, last)
    for i in range(k + DISTANCE_CACHED, min(k + DISTANCE_CACHED + GROUP, last)):
        _ask_for_cached(m, queued[i])


@called
def _ask_for_new_group(m, queued, k, last):
    _ask_for_entries(m, queued, k, last)
    _ask_for_tables(m, queued, k, last)


@called
def _ask_for_mapped_group(m, queued, k, last):
    _ask_for_entries(m, queued, k, last)
    _ask_for_pages(m, queued, k, last)


@called
def _ask_for_parked_group(m, cache, queued, k, last):
    _ask_for_entries(m, queued, k, last)
    for i in range(k + DISTANCE_PAGE, min(k + DISTANCE_PAGE + GROUP, last)):
        _ask_for_parked(m, cache, queued[i])
    for i in range(k + DISTANCE_CACHED, min(k + DISTANCE_CACHED + GROUP, last)):
        _ask_for_parked_frame(m, cache, queued[i])


@inlined
def look_ahead(m, queued, k, last):
    """Prefetch for faults to come: where one page faults the next ones will, too."""
    if k % GROUP == 0:
        _ask_for_group(m, queued, k, last)


@inlined
def look_ahead_new(m, queued, k, last):
    """Prefetch for faults to come on pages that are none."""
    if k % GROUP == 0:
        _ask_for_new_group(m, queued, k, last)


@inlined
def look_ahead_mapped(m, queued, k, last):
    """Prefetch for faults to come on pages that have a frame."""
    if k % GROUP == 0:
        _ask_for_mapped_group(m, queued, k, last)


@inlined
def look_ahead_parked(m, cache, queued, k, last):
    """Prefetch for a row of faults on pages parked in a cache (``lazy/parked.py``).

    ``look_ahead`` would do, but it asks each PTE what kind it is: then serving a fault
    takes 102 ns instead of 87 (swap cache, 48 GiB).
    """
    if k % GROUP == 0:
        _ask_for_parked_group(m, cache, queued, k, last)
