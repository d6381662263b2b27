"""Identities of parked pages: swap slots, entries of the migration cache, and others.

``docs/model/page.md`` 8.  Each has a count, the PTEs that hold the identity, and a
frame.  All are allocated alike: the one that was freed last, otherwise the lowest one
that was never used.  As in Schermerhorn's series of 2006 every cache has the interface
of the swap cache.  Caches differ in what a count of zero means, and that is left to
the designs (``lazy/``).  Which arrays and columns are whose is written here alone.
"""

from typing import NamedTuple

import numpy as np

from ..jit.compile import inlined, kernel
from ..state import Chain, Ids, Info, Shard
from ..words import (
    FRAME_DIRTY,
    FRAME_KIND,
    FRAME_KIND_SHIFT,
    FRAME_LAZYFREE,
    NONE,
    PTE_KIND,
    PTE_KIND_SHIFT,
    PTE_PAYLOAD,
    Kind,
)

_IDS = len(Ids)
_CHAIN = len(Chain)
_KINDS = len(Kind)


class Cache(NamedTuple):
    """A cache of parked pages, as faults on them see it."""

    kind: int
    #: A PTE's bits if its page is parked there, and those of a frame in the cache.
    pte: int
    frame: int
    #: By identity: PTEs that hold it (int16[ids]), and its frame (int64[ids]).
    holders: np.ndarray
    frames: np.ndarray


@inlined
def kind_of(pte):
    """Return how the page of a PTE is parked, a Kind; 0: it is not."""
    return (pte & PTE_KIND) >> PTE_KIND_SHIFT


@inlined
def cached_by(word):
    """Return the Kind of the cache that holds a page; 0: none does."""
    return (word & FRAME_KIND) >> FRAME_KIND_SHIFT


@inlined
def _arrays_of(m, kind):
    """Return the holders and the frames of a kind."""
    if kind == Kind.SWAP:
        return m.slot_count, m.slot_frame
    if kind == Kind.MIGCACHE:
        return m.entry_count, m.entry_frame
    return m.own_count, m.own_frame


@inlined
def cache_of(m, kind):
    """Return the cache of a kind."""
    holders, frames = _arrays_of(m, kind)
    pte, frame = kind << PTE_KIND_SHIFT, kind << FRAME_KIND_SHIFT
    return Cache(kind, pte, frame, holders, frames)


@inlined
def ids_of(kind):
    """Return the first column of Info of a kind's allocator."""
    return Info.SLOTS + (kind - 1) * _IDS


@inlined
def _chain_of(kind):
    """Return the first column of Shard of a kind's freed identities."""
    return Shard.FREED_IDS + (kind - 1) * _CHAIN


@inlined
def get_id(m, kind):
    """Take an identity of a kind; NONE if all are in use.

    The frame of a free one is a link to the next free one.
    """
    info, ids, frames = m.info, ids_of(kind), cache_of(m, kind).frames
    found = info[ids + Ids.STACK]
    if found != NONE:
        info[ids + Ids.STACK] = frames[found]
    elif info[ids + Ids.VIRGIN_ID] < info[ids + Ids.TOTAL]:
        found = info[ids + Ids.VIRGIN_ID]
        info[ids + Ids.VIRGIN_ID] = found + 1
    else:
        return NONE
    used = info[ids + Ids.IN_USE] + 1
    info[ids + Ids.IN_USE] = used
    info[ids + Ids.PEAK] = max(info[ids + Ids.PEAK], used)
    return found


@inlined
def _put_id(m, kind, identity):
    ids = ids_of(kind)
    cache_of(m, kind).frames[identity] = m.info[ids + Ids.STACK]
    m.info[ids + Ids.STACK] = identity
    m.info[ids + Ids.IN_USE] -= 1


@inlined
def push_freed(m, s, cache, identity):
    """Add a freed identity of a cache to a chain of the shard."""
    freed = _chain_of(cache.kind)
    newest = m.shard[s, freed + Chain.NEWEST]
    cache.frames[identity] = newest
    m.shard[s, freed + Chain.NEWEST] = identity
    if newest == NONE:
        m.shard[s, freed + Chain.OLDEST] = identity
    m.shard[s, freed + Chain.COUNT] += 1


@inlined
def free_id(m, s, kind, identity):
    """Free an identity: at once, or at the barrier if a shard frees it."""
    if s == m.info[Info.SHARDS]:
        _put_id(m, kind, identity)
    else:
        push_freed(m, s, cache_of(m, kind), identity)


@inlined
def swap_free_slot(m, s, slot):
    """Free a swap slot."""
    free_id(m, s, Kind.SWAP, slot)


@inlined
def _drain(m, s, kind):
    """Put a shard's chain on the stack of free identities, its newest on top."""
    ids, freed = ids_of(kind), _chain_of(kind)
    newest = m.shard[s, freed + Chain.NEWEST]
    if newest == NONE:
        return
    oldest = m.shard[s, freed + Chain.OLDEST]
    cache_of(m, kind).frames[oldest] = m.info[ids + Ids.STACK]
    m.info[ids + Ids.STACK] = newest
    m.info[ids + Ids.IN_USE] -= m.shard[s, freed + Chain.COUNT]
    m.shard[s, freed + Chain.NEWEST] = NONE
    m.shard[s, freed + Chain.COUNT] = 0


@kernel
def drain_freed(m):
    """Free what the shards gave up, shard by shard: its slots first."""
    for s in range(m.info[Info.SHARDS]):
        for kind in range(1, _KINDS + 1):
            _drain(m, s, kind)


@inlined
def uncached(word):
    """Return the word of a page that leaves the cache that holds it."""
    return word & ~FRAME_KIND | FRAME_DIRTY


@inlined
def leave_cache(m, s, pfn, kind):
    """Take a page out of the cache of a kind, and free its identity."""
    free_id(m, s, kind, int(m.frame_entry[pfn]))
    m.frame[pfn] = uncached(m.frame[pfn])


@inlined
def drop_slot(m, s, pfn):
    """Take a page out of the swap cache and free its slot (folio_free_swap)."""
    leave_cache(m, s, pfn, Kind.SWAP)


@inlined
def is_held(m, pfn):
    """Tell whether PTEs may hold the identity of a page in a cache.

    A page lingers in the swap cache when none does; every other cache it leaves then.
    """
    kind = cached_by(m.frame[pfn])
    if kind == Kind.SWAP:
        return m.slot_count[m.frame_entry[pfn]] > 0
    return kind != 0


@inlined
def frame_of_parked(m, pte):
    """Return the frame of a parked page; NONE if it is on disk alone."""
    return cache_of(m, kind_of(pte)).frames[pte & PTE_PAYLOAD]


@inlined
def add_to_cache(m, pfn, kind, identity, bits):
    """Let a cache hold a page, which is not freed by advice then, and has ``bits``."""
    bits |= kind << FRAME_KIND_SHIFT
    m.frame[pfn] = m.frame[pfn] & ~FRAME_LAZYFREE | bits
    m.frame_entry[pfn] = identity
    cache_of(m, kind).frames[identity] = pfn


@inlined
def add_to_swap(m, pfn, slot):
    """Put a page into the swap cache, dirty: its slot is empty (mm/swap_state.c)."""
    add_to_cache(m, pfn, Kind.SWAP, slot, FRAME_DIRTY)
