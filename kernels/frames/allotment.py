"""Allotments: free frames that are lent to shards for a quantum, and taken back.

``docs/model/quantum.md`` 3 and 7.
"""

from typing import Final

from ..jit.bits import bit, lowest, without_lowest
from ..jit.compile import inlined, kernel
from ..jit.prefetch import prefetchw
from ..knobs import ThpEnabled
from ..state import FREED_PARTS, PUT_ASIDE, BlockList, Info, Node, Pool, Shard
from ..words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE
from .page_alloc import (
    ALL_FREE,
    FREE_WORDS,
    WORD_BITS,
    free_huge,
    make_huge,
    node_of,
    push_partial,
    push_returned,
    set_free,
    take_frame,
    take_free_block,
    unlink_partial,
)

#: Frames that a shard may be lent of a node, however few it took before.
ALLOTMENT: Final = 64
#: Whole blocks that a shard may be lent of a node, however few it took before.
HUGE_ALLOTMENT: Final = 16
#: Blocks whose frame words fill a huge page of the host (2 MiB).
HOST_BLOCKS: Final = 512
#: At least this many frames are freed between a prefetch and its use.
DISTANCE: Final = 32


@inlined
def rmqueue_shard(m, s, n):
    """Take a frame of the shard's allotment; PUT_ASIDE if none is left."""
    if m.pool[s, n, Pool.LEFT] == 0:
        return PUT_ASIDE
    b = m.pool[s, n, Pool.HEAD]
    pfn = take_frame(m, b)
    m.pool[s, n, Pool.LEFT] -= 1
    if m.block_used[b] == HPAGE_PMD_NR:
        m.pool[s, n, Pool.HEAD] = m.block_next[b]
        m.block_list[b] = BlockList.UNLISTED
    return pfn


# --- a row of frames from a shard's allotment -----------------------------------------
#
# A row gives the same frames as repeated calls of ``rmqueue_shard``, but reads and
# writes each word of ``block_free`` once for all its frames.  It is a tuple: index of
# the word, bits of it that are still free, frames taken from it, frames that the
# allotment had left when the word was opened.


@inlined
def open_row(m, s, n):
    """Begin a row of frames of node ``n``."""
    left = m.pool[s, n, Pool.LEFT]
    if left == 0:
        return 0, 0, 0, 0
    i = m.pool[s, n, Pool.HEAD] * FREE_WORDS
    while m.block_free[i] == 0:
        i += 1
    return i, m.block_free[i], 0, left


@inlined
def has_frame(row):
    """Tell whether the allotment has another frame."""
    _, _, taken, left = row
    return taken < left


@inlined
def take_next(m, s, n, row):
    """Return the next frame of a row that has one, and the row without it."""
    i, free, taken, left = row
    if free == 0:
        close_row(m, s, n, row)
        i, free, taken, left = open_row(m, s, n)
    return i * WORD_BITS + lowest(free), (i, without_lowest(free), taken + 1, left)


@inlined
def close_row(m, s, n, row):
    """Write back what was taken since the row's word was opened."""
    i, free, taken, left = row
    if taken == 0:
        return
    b = i // FREE_WORDS
    m.block_free[i] = free
    m.block_used[b] += taken
    m.pool[s, n, Pool.LEFT] = left - taken
    if m.block_used[b] == HPAGE_PMD_NR:
        m.pool[s, n, Pool.HEAD] = m.block_next[b]
        m.block_list[b] = BlockList.UNLISTED


@inlined
def rmqueue_huge_shard(m, s, n):
    """Take a block of the shard's allotment; PUT_ASIDE if none is left."""
    if m.pool[s, n, Pool.HUGE_LEFT] == 0:
        return PUT_ASIDE
    b = m.pool[s, n, Pool.HUGE_HEAD]
    m.pool[s, n, Pool.HUGE_HEAD] = m.block_next[b]
    m.pool[s, n, Pool.HUGE_LEFT] -= 1
    return make_huge(m, b)


@inlined
def _lend_to(m, s, n, allotment):
    """Lend blocks to a shard until their free frames reach its allotment.

    Lend only what the shard used recently: when each block has one free frame, lending
    from an unused node costs more than all the faults.
    """
    allotment = min(allotment, max(ALLOTMENT, m.pool[s, n, Pool.WANTED]))
    lent = 0
    last = NONE
    while lent < allotment:
        b = m.node[n, Node.PARTIAL_HEAD]
        if b != NONE:
            unlink_partial(m, n, b)
        else:
            b = take_free_block(m, n)
            if b != NONE:
                set_free(m, b, ALL_FREE)
        if b == NONE:
            break
        m.block_list[b] = BlockList.LENT
        m.block_next[b] = NONE
        if last == NONE:
            m.pool[s, n, Pool.HEAD] = b
        else:
            m.block_next[last] = b
        last = b
        lent += HPAGE_PMD_NR - m.block_used[b]
    given = min(lent, allotment)
    m.pool[s, n, Pool.LEFT] = given
    m.pool[s, n, Pool.GIVEN] = given


@inlined
def _lend_huge_to(m, s, n, allotment):
    """Lend wholly free blocks to a shard: its allotment, or all that there are.

    Twice what it took last time is enough, because most accesses are hits.
    """
    allotment = min(allotment, max(HUGE_ALLOTMENT, 2 * m.pool[s, n, Pool.HUGE_USED]))
    last = NONE
    given = 0
    while given < allotment:
        b = take_free_block(m, n)
        if b == NONE:
            break
        m.block_list[b] = BlockList.LENT
        m.block_next[b] = NONE
        if last == NONE:
            m.pool[s, n, Pool.HUGE_HEAD] = b
        else:
            m.block_next[last] = b
        last = b
        given += 1
    m.pool[s, n, Pool.HUGE_LEFT] = given
    m.pool[s, n, Pool.HUGE_GIVEN] = given


@inlined
def _queue_length(m, s):
    return m.shard[s, Shard.QUEUE_END] - m.shard[s, Shard.QUEUE_FIRST]


@kernel
def lend(m):
    """Lend every shard its allotment of every node's free frames for a quantum.

    Reads the nodes' free frames and watermarks and the shards' queues; changes the
    nodes' lists of blocks, ``m.pool`` and WHOLE_AT_START.
    """
    shards = m.info[Info.SHARDS]
    part = 8 if m.info[Info.THP_ENABLED] == ThpEnabled.NEVER else 16
    for n in range(m.node.shape[0]):
        m.node[n, Node.WHOLE_AT_START] = m.node[n, Node.WHOLE]
        free = m.node[n, Node.FREE]
        share = max(0, min(free // part, free - m.node[n, Node.LOW])) // shards
        for s in range(shards):
            _lend_to(m, s, n, min(share, _queue_length(m, s)))
    if m.info[Info.THP_ENABLED] == ThpEnabled.NEVER:
        return
    for n in range(m.node.shape[0]):
        free = m.node[n, Node.FREE]
        blocks = max(0, min(free // part, free - m.node[n, Node.LOW])) // HPAGE_PMD_NR
        share = blocks // shards
        for s in range(shards):
            _lend_huge_to(m, s, n, min(share, _queue_length(m, s)))


@inlined
def touch_ahead(m):
    """Touch the frame words of the blocks that will be lent next.

    The host clears a huge page when it is first touched, and all threads that need the
    page wait for that.  Here one thread waits, and the others serve.
    """
    for n in range(m.node.shape[0]):
        lent = m.node[n, Node.WHOLE_AT_START] - m.node[n, Node.WHOLE]
        b = -(-m.node[n, Node.VIRGIN] // HOST_BLOCKS) * HOST_BLOCKS
        end = min(b + lent, m.node[n, Node.END_BLOCK])
        while b < end:
            m.frame[b << HPAGE_PMD_ORDER] = 0
            b += HOST_BLOCKS


@inlined
def _take_back(m, s, n):
    b = m.pool[s, n, Pool.HEAD]
    while b != NONE:
        after = m.block_next[b]
        if m.block_used[b] == 0:
            push_returned(m, n, b)
        else:
            push_partial(m, n, b)
        b = after
    m.pool[s, n, Pool.HEAD] = NONE
    given, left = m.pool[s, n, Pool.GIVEN], m.pool[s, n, Pool.LEFT]
    m.node[n, Node.FREE] += m.pool[s, n, Pool.FREED] - (given - left)
    m.pool[s, n, Pool.FREED] = 0
    wanted = 4 * (_queue_length(m, s) if left == 0 else given - left)
    m.pool[s, n, Pool.WANTED] = max(wanted, m.pool[s, n, Pool.WANTED] // 2)


@inlined
def _take_back_huge(m, s, n):
    b = m.pool[s, n, Pool.HUGE_HEAD]
    while b != NONE:
        after = m.block_next[b]
        push_returned(m, n, b)
        b = after
    used = m.pool[s, n, Pool.HUGE_GIVEN] - m.pool[s, n, Pool.HUGE_LEFT]
    m.node[n, Node.FREE] -= used * HPAGE_PMD_NR
    m.pool[s, n, Pool.HUGE_HEAD] = NONE
    m.pool[s, n, Pool.HUGE_LEFT] = 0
    m.pool[s, n, Pool.HUGE_GIVEN] = 0
    m.pool[s, n, Pool.HUGE_USED] = used


@inlined
def _free_huge_chain(m, s):
    b = m.shard[s, Shard.FREED_BLOCK_HEAD]
    tail = m.shard[s, Shard.FREED_BLOCK_TAIL]
    while b != NONE:
        after = NONE if b == tail else m.block_next[b]
        free_huge(m, b)
        b = after
    m.shard[s, Shard.FREED_BLOCK_HEAD] = NONE
    m.shard[s, Shard.FREED_BLOCK_TAIL] = NONE


@kernel
def take_back(m):
    """End the allotments: blocks that are still lent go back to their nodes' lists.

    Frames that shards freed count as free from now on; ``free_part`` sets their bits.
    """
    shards = m.info[Info.SHARDS]
    for s in range(shards):
        for n in range(m.node.shape[0]):
            _take_back(m, s, n)
    for s in range(shards):
        for n in range(m.node.shape[0]):
            _take_back_huge(m, s, n)


@inlined
def _ask_for_blocks(m, s, part, i):
    """Prefetch what the frees of a part will change, from a shard's ``i``-th one on."""
    first = m.shard[s, Shard.QUEUE_FIRST]
    for j in range(first + i, first + min(i + DISTANCE, m.freed_count[s, part])):
        prefetchw(m.block_free, m.freed[part, j] // WORD_BITS)
        prefetchw(m.block_used, m.freed[part, j] >> HPAGE_PMD_ORDER)


@inlined
def _free_part_of(m, s, part):
    """Free a shard's frames of a part; keep those whose block must change its list."""
    first, kept = m.shard[s, Shard.QUEUE_FIRST], 0
    for i in range(m.freed_count[s, part]):
        if i % DISTANCE == 0:
            _ask_for_blocks(m, s, part, i + DISTANCE)
        pfn = m.freed[part, first + i]
        b = pfn >> HPAGE_PMD_ORDER
        m.block_free[pfn // WORD_BITS] |= bit(pfn % WORD_BITS)
        used = m.block_used[b] - 1
        m.block_used[b] = used
        if used == HPAGE_PMD_NR - 1 or used == 0:
            m.freed[part, first + kept] = pfn
            kept += 1
    m.freed_count[s, part] = kept


@inlined
def free_part(m, part):
    """Free the frames of a part that shards freed; ``relist`` then moves the blocks.

    No two parts have a block in common, so threads may free parts side by side.
    """
    shards = m.info[Info.SHARDS]
    _ask_for_blocks(m, 0, part, 0)
    for s in range(shards):
        if s + 1 < shards:
            _ask_for_blocks(m, s + 1, part, 0)
        _free_part_of(m, s, part)


@inlined
def _relist(m, pfn):
    """Move a block to the list that it belongs to by its free frames."""
    n, b = node_of(m, pfn), pfn >> HPAGE_PMD_ORDER
    if m.block_list[b] == BlockList.UNLISTED:
        push_partial(m, n, b)
    else:
        unlink_partial(m, n, b)
        push_returned(m, n, b)


@kernel
def relist(m):
    """Move blocks in which frames were freed to their lists, then free huge pages."""
    shards = m.info[Info.SHARDS]
    for part in range(FREED_PARTS):
        for s in range(shards):
            first = m.shard[s, Shard.QUEUE_FIRST]
            for i in range(first, first + m.freed_count[s, part]):
                _relist(m, m.freed[part, i])
            m.freed_count[s, part] = 0
    for s in range(shards):
        _free_huge_chain(m, s)
