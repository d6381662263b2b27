"""Free frames: pageblocks, their lists, and the allotments of shards.

The rules are those of ``docs/model.md`` §3 and §6, steps 3 and 5.  ``m`` is the
Memory, ``n`` a node, ``b`` a pageblock, ``s`` a shard.
"""

from typing import Final

from ._bits import bit, lowest, without_lowest
from ._jit import inlined, kernel
from ._prefetch import prefetch
from .constants import (
    FOLIO_COMPOUND,
    HPAGE_PMD_NR,
    HPAGE_PMD_ORDER,
    NONE,
    ThpEnabled,
    Vm,
)
from .last_cpupid import reset_last_cpupid, reset_last_cpupid_huge
from .state import (
    END_BLOCK,
    FREE,
    FREED,
    FREED_BLOCK_HEAD,
    FREED_BLOCK_TAIL,
    HUGE,
    LENT,
    LOW,
    NODE_SHIFT,
    PARTIAL,
    PARTIAL_HEAD,
    POOL_GIVEN,
    POOL_HEAD,
    POOL_HUGE_GIVEN,
    POOL_HUGE_HEAD,
    POOL_HUGE_LEFT,
    POOL_HUGE_USED,
    POOL_LEFT,
    PUT_ASIDE,
    QUEUE_END,
    QUEUE_FIRST,
    RETURNED,
    RETURNED_HEAD,
    SHARDS,
    THP_ENABLED,
    UNLISTED,
    VIRGIN,
    WHOLE,
    WHOLE_AT_START,
)

#: Whole blocks that a shard may always have, if it has so many accesses.
HUGE_ALLOTMENT: Final = 16
#: Words of ``block_free`` of a block, and what they are where it is wholly free.
WORD_BITS: Final = 64
FREE_WORDS: Final = HPAGE_PMD_NR // WORD_BITS
ALL_FREE: Final = -1
#: Frames that are freed between a prefetch and its use.
DISTANCE: Final = 16


@inlined
def node_of(m, pfn):
    """Return the node of a frame."""
    return pfn >> m.info[NODE_SHIFT]


@inlined
def _push_partial(m, n, b):
    head = m.node[n, PARTIAL_HEAD]
    m.block_next[b] = head
    m.block_prev[b] = NONE
    if head != NONE:
        m.block_prev[head] = b
    m.node[n, PARTIAL_HEAD] = b
    m.block_list[b] = PARTIAL


@inlined
def _unlink_partial(m, n, b):
    after = m.block_next[b]
    before = m.block_prev[b]
    if before == NONE:
        m.node[n, PARTIAL_HEAD] = after
    else:
        m.block_next[before] = after
    if after != NONE:
        m.block_prev[after] = before
    m.block_list[b] = UNLISTED


@inlined
def _push_returned(m, n, b):
    m.block_next[b] = m.node[n, RETURNED_HEAD]
    m.node[n, RETURNED_HEAD] = b
    m.node[n, WHOLE] += 1
    m.block_list[b] = RETURNED


@inlined
def set_free(m, b, word):
    """Make all frames of a block free (ALL_FREE) or not (0).

    Only a block of small pages has bits; they cost huge pages nothing.
    """
    for i in range(b * FREE_WORDS, (b + 1) * FREE_WORDS):
        m.block_free[i] = word


@inlined
def _take_free_block(m, n):
    """Take a wholly free block off its list; NONE where there is none."""
    b = m.node[n, RETURNED_HEAD]
    if b != NONE:
        m.node[n, RETURNED_HEAD] = m.block_next[b]
        m.node[n, WHOLE] -= 1
        return b
    b = m.node[n, VIRGIN]
    if b >= m.node[n, END_BLOCK]:
        return NONE
    m.node[n, VIRGIN] = b + 1
    m.node[n, WHOLE] -= 1
    return b


@inlined
def _take_frame(m, b):
    """Take the lowest free frame of a block that has one."""
    m.block_used[b] += 1
    i = b * FREE_WORDS
    while m.block_free[i] == 0:
        i += 1
    word = m.block_free[i]
    m.block_free[i] = without_lowest(word)
    return i * WORD_BITS + lowest(word)


@inlined
def rmqueue(m, n):
    """Take a frame of node ``n``, which has one, outside of any shard."""
    b = m.node[n, PARTIAL_HEAD]
    if b == NONE:
        b = _take_free_block(m, n)
        set_free(m, b, ALL_FREE)
        _push_partial(m, n, b)
    return rmqueue_block(m, n, b)


@inlined
def rmqueue_block(m, n, b):
    """Take a frame of a block on the partial list of node ``n``."""
    pfn = _take_frame(m, b)
    if m.block_used[b] == HPAGE_PMD_NR:
        _unlink_partial(m, n, b)
    m.node[n, FREE] -= 1
    return pfn


@inlined
def rmqueue_shard(m, s, n):
    """Take a frame of the shard's allotment; PUT_ASIDE where it is used up."""
    if m.pool[s, n, POOL_LEFT] == 0:
        return PUT_ASIDE
    b = m.pool[s, n, POOL_HEAD]
    pfn = _take_frame(m, b)
    m.pool[s, n, POOL_LEFT] -= 1
    if m.block_used[b] == HPAGE_PMD_NR:
        m.pool[s, n, POOL_HEAD] = m.block_next[b]
        m.block_list[b] = UNLISTED
    return pfn


@inlined
def free_frame(m, pfn):
    """Give a frame back to its block, outside of any shard."""
    n = node_of(m, pfn)
    b = pfn >> HPAGE_PMD_ORDER
    m.block_free[pfn // WORD_BITS] |= bit(pfn % WORD_BITS)
    used = m.block_used[b] - 1
    m.block_used[b] = used
    m.node[n, FREE] += 1
    if used == HPAGE_PMD_NR - 1:
        _push_partial(m, n, b)
    if used == 0:
        _unlink_partial(m, n, b)
        _push_returned(m, n, b)


@inlined
def put_page(m, s, pfn):
    """Free a frame: at once, or at the barrier where a shard frees it."""
    m.vm[s, node_of(m, pfn), Vm.PGFREE] += 1
    reset_last_cpupid(m, pfn)
    m.frame[pfn] = 0
    if s == m.info[SHARDS]:
        free_frame(m, pfn)
        return
    # An access frees one frame at most, so the shard's part is long enough.
    m.freed[m.shard[s, QUEUE_FIRST] + m.shard[s, FREED]] = pfn
    m.shard[s, FREED] += 1


@inlined
def _make_huge(m, b):
    """Hand out all frames of a wholly free block that is on no list."""
    m.block_used[b] = HPAGE_PMD_NR
    m.block_mapped[b] = 0
    m.block_list[b] = HUGE
    return b


@inlined
def rmqueue_huge(m, n):
    """Take a block of node ``n``, which has a wholly free one, outside of any shard."""
    m.node[n, FREE] -= HPAGE_PMD_NR
    return _make_huge(m, _take_free_block(m, n))


@inlined
def rmqueue_huge_shard(m, s, n):
    """Take a block of the shard's allotment; PUT_ASIDE where it is used up."""
    if m.pool[s, n, POOL_HUGE_LEFT] == 0:
        return PUT_ASIDE
    b = m.pool[s, n, POOL_HUGE_HEAD]
    m.pool[s, n, POOL_HUGE_HEAD] = m.block_next[b]
    m.pool[s, n, POOL_HUGE_LEFT] -= 1
    return _make_huge(m, b)


@inlined
def free_huge(m, b):
    """Give the block of a huge page back, outside of any shard."""
    n = node_of(m, b << HPAGE_PMD_ORDER)
    m.block_used[b] = 0
    m.node[n, FREE] += HPAGE_PMD_NR
    _push_returned(m, n, b)


@inlined
def free_frames(m, pfn, frames):
    """Free frames in a row, all in use and of one block, outside of any shard."""
    if frames == HPAGE_PMD_NR:
        free_huge(m, pfn >> HPAGE_PMD_ORDER)
        return
    for i in range(frames):
        free_frame(m, pfn + i)


@inlined
def put_huge(m, s, b):
    """Free a huge page: at once, or at the barrier where a shard frees it."""
    m.vm[s, node_of(m, b << HPAGE_PMD_ORDER), Vm.PGFREE] += HPAGE_PMD_NR
    if m.block_huge[b] & FOLIO_COMPOUND:
        first = b << HPAGE_PMD_ORDER
        m.frame[first : first + HPAGE_PMD_NR] = 0
    m.block_huge[b] = 0
    reset_last_cpupid_huge(m, b)
    if s == m.info[SHARDS]:
        free_huge(m, b)
        return
    tail = m.shard[s, FREED_BLOCK_TAIL]
    if tail == NONE:
        m.shard[s, FREED_BLOCK_HEAD] = b
    else:
        m.block_next[tail] = b
    m.shard[s, FREED_BLOCK_TAIL] = b


@inlined
def _lend_to(m, s, n, allotment):
    """Lend blocks to a shard until their free frames reach its allotment."""
    lent = 0
    last = NONE
    while lent < allotment:
        b = m.node[n, PARTIAL_HEAD]
        if b != NONE:
            _unlink_partial(m, n, b)
        else:
            b = _take_free_block(m, n)
            if b != NONE:
                set_free(m, b, ALL_FREE)
        if b == NONE:
            break
        m.block_list[b] = LENT
        m.block_next[b] = NONE
        if last == NONE:
            m.pool[s, n, POOL_HEAD] = b
        else:
            m.block_next[last] = b
        last = b
        lent += HPAGE_PMD_NR - m.block_used[b]
    given = min(lent, allotment)
    m.pool[s, n, POOL_LEFT] = given
    m.pool[s, n, POOL_GIVEN] = given


@inlined
def _lend_huge_to(m, s, n, allotment):
    """Lend wholly free blocks to a shard, as many of its allotment as there are.

    Twice what it took last is enough: most accesses are hits.
    """
    allotment = min(allotment, max(HUGE_ALLOTMENT, 2 * m.pool[s, n, POOL_HUGE_USED]))
    last = NONE
    given = 0
    while given < allotment:
        b = _take_free_block(m, n)
        if b == NONE:
            break
        m.block_list[b] = LENT
        m.block_next[b] = NONE
        if last == NONE:
            m.pool[s, n, POOL_HUGE_HEAD] = b
        else:
            m.block_next[last] = b
        last = b
        given += 1
    m.pool[s, n, POOL_HUGE_LEFT] = given
    m.pool[s, n, POOL_HUGE_GIVEN] = given


@inlined
def _queue_length(m, s):
    return m.shard[s, QUEUE_END] - m.shard[s, QUEUE_FIRST]


@kernel
def lend(m):
    """Give every shard its allotment of every node's free frames for a quantum."""
    shards = m.info[SHARDS]
    part = 8 if m.info[THP_ENABLED] == ThpEnabled.NEVER else 16
    for n in range(m.node.shape[0]):
        m.node[n, WHOLE_AT_START] = m.node[n, WHOLE]
        free = m.node[n, FREE]
        share = max(0, min(free // part, free - m.node[n, LOW])) // shards
        for s in range(shards):
            _lend_to(m, s, n, min(share, _queue_length(m, s)))
    if m.info[THP_ENABLED] == ThpEnabled.NEVER:
        return
    for n in range(m.node.shape[0]):
        free = m.node[n, FREE]
        blocks = max(0, min(free // part, free - m.node[n, LOW])) // HPAGE_PMD_NR
        share = blocks // shards
        for s in range(shards):
            _lend_huge_to(m, s, n, min(share, _queue_length(m, s)))


@inlined
def _take_back(m, s, n):
    b = m.pool[s, n, POOL_HEAD]
    while b != NONE:
        after = m.block_next[b]
        if m.block_used[b] == 0:
            _push_returned(m, n, b)
        else:
            _push_partial(m, n, b)
        b = after
    m.pool[s, n, POOL_HEAD] = NONE
    m.node[n, FREE] -= m.pool[s, n, POOL_GIVEN] - m.pool[s, n, POOL_LEFT]


@inlined
def _take_back_huge(m, s, n):
    b = m.pool[s, n, POOL_HUGE_HEAD]
    while b != NONE:
        after = m.block_next[b]
        _push_returned(m, n, b)
        b = after
    used = m.pool[s, n, POOL_HUGE_GIVEN] - m.pool[s, n, POOL_HUGE_LEFT]
    m.node[n, FREE] -= used * HPAGE_PMD_NR
    m.pool[s, n, POOL_HUGE_HEAD] = NONE
    m.pool[s, n, POOL_HUGE_LEFT] = 0
    m.pool[s, n, POOL_HUGE_GIVEN] = 0
    m.pool[s, n, POOL_HUGE_USED] = used


@inlined
def _free_frames(m, s):
    first = m.shard[s, QUEUE_FIRST]
    end = first + m.shard[s, FREED]
    for i in range(first, end):
        if i + DISTANCE < end:
            prefetch(m.block_free, m.freed[i + DISTANCE] // WORD_BITS)
        free_frame(m, m.freed[i])
    m.shard[s, FREED] = 0


@inlined
def _free_huge_chain(m, s):
    b = m.shard[s, FREED_BLOCK_HEAD]
    tail = m.shard[s, FREED_BLOCK_TAIL]
    while b != NONE:
        after = NONE if b == tail else m.block_next[b]
        free_huge(m, b)
        b = after
    m.shard[s, FREED_BLOCK_HEAD] = NONE
    m.shard[s, FREED_BLOCK_TAIL] = NONE


@kernel
def take_back(m):
    """End the allotments: lent blocks go back, then what the shards freed."""
    shards = m.info[SHARDS]
    for s in range(shards):
        for n in range(m.node.shape[0]):
            _take_back(m, s, n)
    for s in range(shards):
        for n in range(m.node.shape[0]):
            _take_back_huge(m, s, n)
    for s in range(shards):
        _free_frames(m, s)
    for s in range(shards):
        _free_huge_chain(m, s)
