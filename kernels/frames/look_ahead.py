"""What later accesses will need, prefetched while earlier ones are served.

An access waits for its PTE, and a fault also for what the PTE holds: a frame, or a slot
or entry and then its frame.  Each link of this chain is prefetched early enough for
memory to answer before the next link is asked for.
"""

from ..access_run import task_in
from ..jit.compile import called, inlined
from ..jit.prefetch import prefetch, prefetchw
from ..state import Task
from ..words import (
    ACCESS_VPN,
    HPAGE_PMD_ORDER,
    NONE,
    PTE_KIND,
    PTE_PAYLOAD,
    PTE_PRESENT,
)
from .swap_state import cache_of, frame_of_parked, kind_of

#: A PTE is prefetched at least this many accesses before its use, ...
DISTANCE = 64
#: ... the frame, slot or entry that it holds this many, ...
DISTANCE_PAGE = 32
#: ... and the frame of that slot or entry this many.
DISTANCE_CACHED = 16
#: Accesses that are prefetched for at once.
GROUP = 16


@inlined
def _at(m, word):
    return (word & ACCESS_VPN) + m.task[task_in(word), Task.DELTA]


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
    """Prefetch the frame, slot or entry that a PTE holds; the PTE has arrived."""
    pte = m.pte[_at(m, word)]
    payload = pte & PTE_PAYLOAD
    if pte & PTE_PRESENT:
        prefetchw(m.frame, payload)
    elif pte & PTE_KIND:
        cache = cache_of(m, kind_of(pte))
        prefetchw(cache.frames, payload)
        prefetchw(cache.holders, payload)


@inlined
def _ask_for_cached(m, word):
    """Prefetch the frame of a parked page; its slot or entry has arrived."""
    pte = m.pte[_at(m, word)]
    if not pte & PTE_KIND:
        return
    pfn = frame_of_parked(m, pte)
    if pfn != NONE:
        prefetchw(m.frame, pfn)


@inlined
def _ask_for_parked(m, cache, word):
    """Prefetch what a cache knows of a parked page, by its PTE, which has arrived."""
    pte = m.pte[_at(m, word)]
    if pte & PTE_KIND == cache.pte:
        prefetchw(cache.frames, pte & PTE_PAYLOAD)
        prefetchw(cache.holders, pte & PTE_PAYLOAD)


@inlined
def _ask_for_parked_frame(m, cache, word):
    """Prefetch the frame of a parked page, as its cache's word has arrived."""
    pte = m.pte[_at(m, word)]
    if pte & PTE_KIND == cache.pte:
        pfn = cache.frames[pte & PTE_PAYLOAD]
        if pfn != NONE:
            prefetchw(m.frame, pfn)


@inlined
def _ask_for_pages(m, queued, k, last):
    for i in range(k + DISTANCE_PAGE, min(k + DISTANCE_PAGE + GROUP, last)):
        _ask_for_page(m, queued[i])


@inlined
def look_at_first(m, queued, k, end):
    """Prefetch for the first accesses of a queue, which nothing looked ahead to."""
    for i in range(k, min(k + DISTANCE, end)):
        at = _at(m, queued[i])
        prefetchw(m.pte, at)
        prefetch(m.pmd, at >> HPAGE_PMD_ORDER)


# A group is prefetched at once: while the host walks its own page tables for one
# prefetch, other work has to wait, but the next prefetch has not.


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
    """Prefetch for later faults: if one page faults, the next ones often do, too."""
    if k % GROUP == 0:
        _ask_for_group(m, queued, k, last)


@inlined
def look_ahead_new(m, queued, k, last):
    """Prefetch for later faults on pages whose entry is none."""
    if k % GROUP == 0:
        _ask_for_new_group(m, queued, k, last)


@inlined
def look_ahead_mapped(m, queued, k, last):
    """Prefetch for later faults on pages that have a frame."""
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
