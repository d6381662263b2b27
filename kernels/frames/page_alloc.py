"""Free frames: pageblocks and their lists.

``docs/model/page.md`` 6 and 10; the barrier frees what shards freed by
``docs/model/quantum.md`` 7.  ``m`` is the Memory, ``n`` a node, ``b`` a pageblock,
``s`` a shard.
"""

from typing import Final

from ..counters import Vm
from ..jit.bits import bit, lowest, without_lowest
from ..jit.compile import inlined
from ..state import FREED_PARTS, BlockList, Info, Node, Pool, Shard
from ..words import FOLIO_COMPOUND, HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE
from .last_cpupid import reset_last_cpupid, reset_last_cpupid_huge
from .zero_filled import clear_pages

#: A block has FREE_WORDS words of ``block_free``, ALL_FREE if it is wholly free.
WORD_BITS: Final = 64
FREE_WORDS: Final = HPAGE_PMD_NR // WORD_BITS
ALL_FREE: Final = -1
#: log2 of the blocks in a row that one part frees: their bits fill a host page.
FREED_SHIFT: Final = 6


@inlined
def node_of(m, pfn):
    """Return the node of a frame."""
    return pfn >> m.info[Info.NODE_SHIFT]


@inlined
def push_partial(m, n, b):
    head = m.node[n, Node.PARTIAL_HEAD]
    m.block_next[b] = head
    m.block_prev[b] = NONE
    if head != NONE:
        m.block_prev[head] = b
    m.node[n, Node.PARTIAL_HEAD] = b
    m.block_list[b] = BlockList.PARTIAL


@inlined
def unlink_partial(m, n, b):
    after = m.block_next[b]
    before = m.block_prev[b]
    if before == NONE:
        m.node[n, Node.PARTIAL_HEAD] = after
    else:
        m.block_next[before] = after
    if after != NONE:
        m.block_prev[after] = before
    m.block_list[b] = BlockList.UNLISTED


@inlined
def push_returned(m, n, b):
    m.block_next[b] = m.node[n, Node.RETURNED_HEAD]
    m.node[n, Node.RETURNED_HEAD] = b
    m.node[n, Node.WHOLE] += 1
    m.block_list[b] = BlockList.RETURNED


@inlined
def set_free(m, b, word):
    """Make all frames of a block free (ALL_FREE) or not (0).

    Only a block of small pages has bits, so they cost huge pages nothing.
    """
    for i in range(b * FREE_WORDS, (b + 1) * FREE_WORDS):
        m.block_free[i] = word


@inlined
def take_free_block(m, n):
    """Take a wholly free block off its list; NONE if there is none."""
    b = m.node[n, Node.RETURNED_HEAD]
    if b != NONE:
        m.node[n, Node.RETURNED_HEAD] = m.block_next[b]
        m.node[n, Node.WHOLE] -= 1
        return b
    b = m.node[n, Node.VIRGIN]
    if b >= m.node[n, Node.END_BLOCK]:
        return NONE
    m.node[n, Node.VIRGIN] = b + 1
    m.node[n, Node.WHOLE] -= 1
    return b


@inlined
def take_frame(m, b):
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
    b = m.node[n, Node.PARTIAL_HEAD]
    if b == NONE:
        b = take_free_block(m, n)
        set_free(m, b, ALL_FREE)
        push_partial(m, n, b)
    return rmqueue_block(m, n, b)


@inlined
def rmqueue_block(m, n, b):
    """Take a frame of a block on the partial list of node ``n``."""
    pfn = take_frame(m, b)
    if m.block_used[b] == HPAGE_PMD_NR:
        unlink_partial(m, n, b)
    m.node[n, Node.FREE] -= 1
    return pfn


@inlined
def free_frame(m, pfn):
    """Give a frame back to its block, outside of any shard."""
    n = node_of(m, pfn)
    b = pfn >> HPAGE_PMD_ORDER
    m.block_free[pfn // WORD_BITS] |= bit(pfn % WORD_BITS)
    used = m.block_used[b] - 1
    m.block_used[b] = used
    m.node[n, Node.FREE] += 1
    if used == HPAGE_PMD_NR - 1:
        push_partial(m, n, b)
    if used == 0:
        unlink_partial(m, n, b)
        push_returned(m, n, b)


@inlined
def _part_of(b):
    """Return the part that frees a block's frames: 64 blocks in a row."""
    return (b >> FREED_SHIFT) % FREED_PARTS


@inlined
def free_later(m, s, pfn):
    """Note a frame that a shard frees; the caller counts it (``count_freed``)."""
    part = _part_of(pfn >> HPAGE_PMD_ORDER)
    # An access frees at most one frame, so each has its place in the queue's range.
    m.freed[part, m.shard[s, Shard.QUEUE_FIRST] + m.freed_count[s, part]] = pfn
    m.freed_count[s, part] += 1


@inlined
def count_freed(m, s, nid, pages):
    """Count frames of a node that a shard frees at the barrier."""
    m.vm[s, nid, Vm.PGFREE] += pages
    m.pool[s, nid, Pool.FREED] += pages


@inlined
def put_page(m, s, pfn):
    """Free a frame: at once, or at the barrier if a shard frees it."""
    reset_last_cpupid(m, pfn)
    clear_pages(m, pfn, 1)
    m.frame[pfn] = 0
    if s == m.info[Info.SHARDS]:
        m.vm[s, node_of(m, pfn), Vm.PGFREE] += 1
        free_frame(m, pfn)
        return
    count_freed(m, s, node_of(m, pfn), 1)
    free_later(m, s, pfn)


@inlined
def make_huge(m, b):
    """Hand out all frames of a wholly free block that is on no list."""
    m.block_used[b] = HPAGE_PMD_NR
    m.block_mapped[b] = 0
    m.block_list[b] = BlockList.HUGE
    return b


@inlined
def rmqueue_huge(m, n):
    """Take a block of node ``n``, which has a wholly free one, outside of any shard."""
    m.node[n, Node.FREE] -= HPAGE_PMD_NR
    return make_huge(m, take_free_block(m, n))


@inlined
def free_huge(m, b):
    """Give the block of a huge page back, outside of any shard."""
    n = node_of(m, b << HPAGE_PMD_ORDER)
    m.block_used[b] = 0
    m.node[n, Node.FREE] += HPAGE_PMD_NR
    push_returned(m, n, b)


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
    """Free a huge page: at once, or at the barrier if a shard frees it."""
    m.vm[s, node_of(m, b << HPAGE_PMD_ORDER), Vm.PGFREE] += HPAGE_PMD_NR
    if m.block_huge[b] & FOLIO_COMPOUND:
        first = b << HPAGE_PMD_ORDER
        m.frame[first : first + HPAGE_PMD_NR] = 0
    m.block_huge[b] = 0
    reset_last_cpupid_huge(m, b)
    clear_pages(m, b << HPAGE_PMD_ORDER, HPAGE_PMD_NR)
    if s == m.info[Info.SHARDS]:
        free_huge(m, b)
        return
    tail = m.shard[s, Shard.FREED_BLOCK_TAIL]
    if tail == NONE:
        m.shard[s, Shard.FREED_BLOCK_HEAD] = b
    else:
        m.block_next[tail] = b
    m.shard[s, Shard.FREED_BLOCK_TAIL] = b
