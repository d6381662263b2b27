"""Moving one page to another node, and the LRU counts that go with it.

``docs/model/placement.md`` 9.
"""

from ..counters import Cause, Op, Vm
from ..frames.folio import count_lru
from ..frames.last_cpupid import migrate_last_cpupid
from ..frames.page_alloc import node_of, put_page
from ..frames.rmap import cache_index, mapcount, remove_migration_ptes
from ..frames.swap_state import cache_of, cached_by
from ..frames.zero_filled import copy_page
from ..jit.compile import called, inlined
from ..state import Cost
from ..words import (
    FRAME_ACTIVE,
    FRAME_DIRTY,
    FRAME_KIND,
    FRAME_SHMEM,
    FRAME_VPN,
    PTE_DIRTY,
    PTE_OWES,
    PTE_PAYLOAD,
    PTE_PRESENT,
)


@inlined
def lru_add(m, s, pfn, change):
    """Count a frame in (1) or out (-1) of its node's active or inactive list."""
    active = 1 if m.frame[pfn] & FRAME_ACTIVE else 0
    count_lru(m, s, node_of(m, pfn), active, change)


@called
def _replace_in_cache(m, word, old, new):
    """Let frame ``new`` take the place of ``old`` in the cache that holds it."""
    if word & FRAME_SHMEM:
        m.pte[cache_index(m, word & FRAME_VPN)] = PTE_PRESENT | new
        return
    identity = m.frame_entry[old]
    m.frame_entry[new] = identity
    cache_of(m, cached_by(word)).frames[identity] = new


@inlined
def written_through(word, pte):
    """Return a page's word with what a PTE that is taken away knew of writes."""
    return word | FRAME_DIRTY if pte & PTE_DIRTY else word


@inlined
def repointed(pte, pfn):
    """Return a PTE that maps frame ``pfn`` now, and owes nothing for a move."""
    return pte & ~(PTE_PAYLOAD | PTE_OWES) | pfn


@inlined
def migrate_folio_move(m, s, old, new):
    """Let frame ``new`` take the place of ``old``, which is freed."""
    _migrate_frame(m, s, old, new)
    if mapcount(m.frame[new]) > 0:
        remove_migration_ptes(m, old, new)
    put_page(m, s, old)


@inlined
def migrate_page_of(m, s, at, old, new):
    """Do ``migrate_folio_move`` for a page that only the PTE ``at`` maps.

    A hinting mark stays: the fault that moves the page takes it off.
    """
    _migrate_frame(m, s, old, new)
    m.frame[new] = written_through(m.frame[new], m.pte[at])
    m.pte[at] = repointed(m.pte[at], new)
    put_page(m, s, old)


@inlined
def _migrate_frame(m, s, old, new):
    """Move all that is known of a page, except its PTEs."""
    migrate_last_cpupid(m, old, new, node_of(m, old), node_of(m, new))
    copy_page(m, old, new)
    lru_add(m, s, old, -1)
    word = m.frame[old]
    m.frame[new] = word
    lru_add(m, s, new, 1)
    if word & (FRAME_KIND | FRAME_SHMEM):
        _replace_in_cache(m, word, old, new)
    m.vm[s, node_of(m, new), Vm.PGMIGRATE_SUCCESS] += 1


@inlined
def ns_between(m, source, target):
    """Return what a page's migration costs: the kernel's work and the copy, ns."""
    return m.cost[Cost.MIGRATE_PAGE] + m.copy_ns[source, target]


@inlined
def migration_ns(m, old, new):
    """Return the ns of a page's migration to frame ``new``."""
    return ns_between(m, node_of(m, old), node_of(m, new))


@inlined
def migration_cost(m, s, task, old, new):
    """Charge a migration; return the ns."""
    ns = migration_ns(m, old, new)
    m.cause[s, task, Cause.MIGRATION] += ns
    m.ops[s, task, Op.MIGRATE] += 1
    return ns
