"""Identities of parked pages: swap slots and migration-cache entries.

``docs/model/page.md`` 8.  Both have a count, the PTEs that hold the identity, and a
frame.  Both are allocated alike: the one that was freed last, otherwise the lowest one
that was never used.  As in Schermerhorn's series of 2006 the migration cache has the
interface of the swap cache.  They differ in what a count of zero means, and that is
left to the callers.
"""

from ..jit.compile import inlined, kernel
from ..state import Chain, Ids, Info, Shard
from ..words import FRAME_DIRTY, FRAME_LAZYFREE, FRAME_MIGCACHE, FRAME_SWAPCACHE, NONE


@inlined
def get_id(info, kind, frames):
    """Take an identity; NONE if all are in use.

    info    int64[INFO_WIDTH]  the allocator's columns (Ids) start at ``kind``
    kind    Info.SLOTS or Info.ENTRIES
    frames  int64[ids]         of a free identity: link to the next free one
    """
    found = info[kind + Ids.STACK]
    if found != NONE:
        info[kind + Ids.STACK] = frames[found]
    elif info[kind + Ids.VIRGIN_ID] < info[kind + Ids.TOTAL]:
        found = info[kind + Ids.VIRGIN_ID]
        info[kind + Ids.VIRGIN_ID] = found + 1
    else:
        return NONE
    used = info[kind + Ids.IN_USE] + 1
    info[kind + Ids.IN_USE] = used
    info[kind + Ids.PEAK] = max(info[kind + Ids.PEAK], used)
    return found


@inlined
def _put_id(info, kind, frames, identity):
    frames[identity] = info[kind + Ids.STACK]
    info[kind + Ids.STACK] = identity
    info[kind + Ids.IN_USE] -= 1


@inlined
def push_freed(shard, s, kind, frames, identity):
    """Add a freed identity to a chain of the shard.

    kind  Shard.FREED_SLOTS or Shard.FREED_ENTRIES
    """
    newest = shard[s, kind + Chain.NEWEST]
    frames[identity] = newest
    shard[s, kind + Chain.NEWEST] = identity
    if newest == NONE:
        shard[s, kind + Chain.OLDEST] = identity
    shard[s, kind + Chain.COUNT] += 1


@inlined
def swap_free_slot(m, s, slot):
    """Free a swap slot: at once, or at the barrier if a shard frees it."""
    if s == m.info[Info.SHARDS]:
        _put_id(m.info, Info.SLOTS, m.slot_frame, slot)
    else:
        push_freed(m.shard, s, Shard.FREED_SLOTS, m.slot_frame, slot)


@inlined
def migration_free_entry(m, s, entry):
    """Delete a migration-cache entry: at once, or at the barrier in a shard."""
    if s == m.info[Info.SHARDS]:
        _put_id(m.info, Info.ENTRIES, m.entry_frame, entry)
    else:
        push_freed(m.shard, s, Shard.FREED_ENTRIES, m.entry_frame, entry)


@inlined
def _drain(shard, s, freed, info, kind, frames):
    """Put a shard's chain on the stack of free identities, its newest on top."""
    if shard[s, freed + Chain.NEWEST] == NONE:
        return
    frames[shard[s, freed + Chain.OLDEST]] = info[kind + Ids.STACK]
    info[kind + Ids.STACK] = shard[s, freed + Chain.NEWEST]
    info[kind + Ids.IN_USE] -= shard[s, freed + Chain.COUNT]
    shard[s, freed + Chain.NEWEST] = NONE
    shard[s, freed + Chain.COUNT] = 0


@kernel
def drain_freed(m):
    """Free what the shards gave up, shard by shard: its slots, then its entries."""
    for s in range(m.info[Info.SHARDS]):
        _drain(m.shard, s, Shard.FREED_SLOTS, m.info, Info.SLOTS, m.slot_frame)
        _drain(m.shard, s, Shard.FREED_ENTRIES, m.info, Info.ENTRIES, m.entry_frame)


@inlined
def uncached(word, cache):
    """Return the word of a page that leaves a cache (FRAME_SWAPCACHE, _MIGCACHE)."""
    return word & ~cache | FRAME_DIRTY


@inlined
def drop_slot(m, s, pfn):
    """Take a page out of the swap cache and free its slot (folio_free_swap)."""
    swap_free_slot(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = uncached(m.frame[pfn], FRAME_SWAPCACHE)


@inlined
def drop_entry(m, s, pfn):
    """Delete a page's migration-cache entry, whose count has come to zero."""
    migration_free_entry(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = uncached(m.frame[pfn], FRAME_MIGCACHE)


@inlined
def add_to_swap(m, pfn, slot):
    """Put a page into the swap cache, dirty: its slot is empty (mm/swap_state.c)."""
    m.frame[pfn] = m.frame[pfn] & ~FRAME_LAZYFREE | FRAME_SWAPCACHE | FRAME_DIRTY
    m.frame_entry[pfn] = slot
    m.slot_frame[slot] = pfn
