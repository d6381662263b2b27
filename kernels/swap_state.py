"""Identities of parked pages: swap slots and migration-cache entries.

Both have a count (PTEs that hold the identity) and a frame, and both are handed out
alike: last freed first, else the lowest never used.  As in Schermerhorn's series of
2006 the migration cache hides behind the interface of the swap cache; they differ in
what a count of zero means, which the callers decide.
"""

from ._jit import inlined, kernel
from .constants import NONE
from .state import (
    ENTRIES,
    FREED_ENTRY_HEAD,
    FREED_SLOT_HEAD,
    IN_USE,
    PEAK,
    SHARDS,
    SLOTS,
    STACK,
    TOTAL,
    VIRGIN_ID,
)


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
def _append(shard, s, head, frames, given):
    """Chain a freed identity to the shard's list; ``head + 1`` is the tail's column."""
    tail = shard[s, head + 1]
    if tail == NONE:
        shard[s, head] = given
    else:
        frames[tail] = given
    shard[s, head + 1] = given


@inlined
def swap_free_slot(m, s, slot):
    """Free a swap slot: at once, or at the barrier where a shard frees it."""
    if s == m.info[SHARDS]:
        _put_id(m.info, SLOTS, m.slot_frame, slot)
    else:
        _append(m.shard, s, FREED_SLOT_HEAD, m.slot_frame, slot)


@inlined
def migration_free_entry(m, s, entry):
    """Delete a migration-cache entry, as ``swap_free_slot``."""
    if s == m.info[SHARDS]:
        _put_id(m.info, ENTRIES, m.entry_frame, entry)
    else:
        _append(m.shard, s, FREED_ENTRY_HEAD, m.entry_frame, entry)


@inlined
def _drain(shard, s, head, info, kind, frames):
    given = shard[s, head]
    tail = shard[s, head + 1]
    while given != NONE:
        after = NONE if given == tail else frames[given]
        _put_id(info, kind, frames, given)
        given = after
    shard[s, head] = NONE
    shard[s, head + 1] = NONE


@kernel
def drain_freed(m):
    """Free what the shards gave up: slots, then entries, shard by shard."""
    for s in range(m.info[SHARDS]):
        _drain(m.shard, s, FREED_SLOT_HEAD, m.info, SLOTS, m.slot_frame)
        _drain(m.shard, s, FREED_ENTRY_HEAD, m.info, ENTRIES, m.entry_frame)
