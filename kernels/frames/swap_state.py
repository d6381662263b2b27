"""Identities of parked pages: swap slots and migration-cache entries.

Both have a count (PTEs that hold the identity) and a frame, and both are handed out
alike: last freed first, else the lowest never used.  As in Schermerhorn's series of
2006 the migration cache hides behind the interface of the swap cache; they differ in
what a count of zero means, which the callers decide.
"""

from ..jit.compile import inlined, kernel
from ..state import (
    COUNT,
    ENTRIES,
    FREED_ENTRIES,
    FREED_SLOTS,
    IN_USE,
    NEWEST,
    OLDEST,
    PEAK,
    SHARDS,
    SLOTS,
    STACK,
    TOTAL,
    VIRGIN_ID,
)
from ..words import FRAME_DIRTY, FRAME_LAZYFREE, FRAME_MIGCACHE, FRAME_SWAPCACHE, NONE


@inlined
def get_id(info, kind, frames):
    """Take an identity; NONE where all are in use.

    info    int64[INFO_WIDTH]  allocator's columns start at ``kind`` (SLOTS, ENTRIES)
    frames  int64[ids]         links of the free ones
    """
    found = info[kind + STACK]
    if found != NONE:
        info[kind + STACK] = frames[found]
    elif info[kind + VIRGIN_ID] < info[kind + TOTAL]:
        found = info[kind + VIRGIN_ID]
        info[kind + VIRGIN_ID] = found + 1
    else:
        return NONE
    used = info[kind + IN_USE] + 1
    info[kind + IN_USE] = used
    info[kind + PEAK] = max(info[kind + PEAK], used)
    return found


@inlined
def _put_id(info, kind, frames, given):
    frames[given] = info[kind + STACK]
    info[kind + STACK] = given
    info[kind + IN_USE] -= 1


@inlined
def push_freed(shard, s, kind, frames, given):
    """Chain a freed identity to the shard's (FREED_SLOTS, FREED_ENTRIES)."""
    newest = shard[s, kind + NEWEST]
    frames[given] = newest
    shard[s, kind + NEWEST] = given
    if newest == NONE:
        shard[s, kind + OLDEST] = given
    shard[s, kind + COUNT] += 1


@inlined
def swap_free_slot(m, s, slot):
    """Free a swap slot: at once, or at the barrier where a shard frees it."""
    if s == m.info[SHARDS]:
        _put_id(m.info, SLOTS, m.slot_frame, slot)
    else:
        push_freed(m.shard, s, FREED_SLOTS, m.slot_frame, slot)


@inlined
def migration_free_entry(m, s, entry):
    """Delete a migration-cache entry, as ``swap_free_slot``."""
    if s == m.info[SHARDS]:
        _put_id(m.info, ENTRIES, m.entry_frame, entry)
    else:
        push_freed(m.shard, s, FREED_ENTRIES, m.entry_frame, entry)


@inlined
def _drain(shard, s, freed, info, kind, frames):
    """Put a shard's chain on top of the free identities: its newest is the first."""
    if shard[s, freed + NEWEST] == NONE:
        return
    frames[shard[s, freed + OLDEST]] = info[kind + STACK]
    info[kind + STACK] = shard[s, freed + NEWEST]
    info[kind + IN_USE] -= shard[s, freed + COUNT]
    shard[s, freed + NEWEST] = NONE
    shard[s, freed + COUNT] = 0


@kernel
def drain_freed(m):
    """Free what the shards gave up: slots, then entries, shard by shard."""
    for s in range(m.info[SHARDS]):
        _drain(m.shard, s, FREED_SLOTS, m.info, SLOTS, m.slot_frame)
        _drain(m.shard, s, FREED_ENTRIES, m.info, ENTRIES, m.entry_frame)


@inlined
def drop_slot(m, s, pfn):
    """Take a page out of the swap cache and free its slot (folio_free_swap)."""
    swap_free_slot(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = (m.frame[pfn] & ~FRAME_SWAPCACHE) | FRAME_DIRTY


@inlined
def drop_entry(m, s, pfn):
    """Delete a page's migration-cache entry, whose count has come to zero."""
    migration_free_entry(m, s, int(m.frame_entry[pfn]))
    m.frame[pfn] = (m.frame[pfn] & ~FRAME_MIGCACHE) | FRAME_DIRTY


@inlined
def add_to_swap(m, pfn, slot):
    """Put a page into the swap cache (mm/swap_state.c); it must be written once."""
    m.frame[pfn] = m.frame[pfn] & ~FRAME_LAZYFREE | FRAME_SWAPCACHE | FRAME_DIRTY
    m.frame_entry[pfn] = slot
    m.slot_frame[slot] = pfn
