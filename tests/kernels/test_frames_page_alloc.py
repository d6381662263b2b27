"""Free frames: their order, their lists, the allotments of shards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.kernel_parts import from_python
from lazynuma.engine import Costs, Settings, uniform
from lazynuma.engine.state.allocate import allocate
from lazynuma.kernels import state as s
from lazynuma.kernels.frames import allotment, page_alloc
from lazynuma.kernels.words import FRAME_IN_USE, NONE

BLOCK = 512

rmqueue = from_python(page_alloc.rmqueue)
rmqueue_shard = from_python(allotment.rmqueue_shard)
free_frame = from_python(page_alloc.free_frame)
free_part = from_python(allotment.free_part)
put_page = from_python(page_alloc.put_page)
open_row = from_python(allotment.open_row)
has_frame = from_python(allotment.has_frame)
take_next = from_python(allotment.take_next)
close_row = from_python(allotment.close_row)


def world(nodes=2, blocks=4, shards=2, **options):
    options = Settings(shards=shards, **options)
    return allocate(uniform(nodes, blocks << 21), options, Costs(), 1)


def take(memory, node):
    pfn = rmqueue(memory, node)
    memory.frame[pfn] = FRAME_IN_USE
    return pfn


def test_the_lowest_free_frame_of_a_block_comes_first():
    memory = world()
    first = 1 << memory.info[s.Info.NODE_SHIFT]
    assert [take(memory, 1) for _ in range(3)] == [first, first + 1, first + 2]
    free_frame(memory, first)
    free_frame(memory, first + 1)
    assert [take(memory, 1) for _ in range(3)] == [first, first + 1, first + 3]
    assert memory.node[1, s.Node.FREE] == 4 * BLOCK - 4


def test_an_empty_block_is_wholly_free_again():
    memory = world()
    frames = [take(memory, 0) for _ in range(BLOCK + 1)]
    assert (
        memory.block_list[0] == s.BlockList.UNLISTED
        and memory.block_list[1] == s.BlockList.PARTIAL
    )
    free_frame(memory, frames[-1])
    assert memory.block_list[1] == s.BlockList.RETURNED
    for pfn in frames[:-1]:
        free_frame(memory, pfn)
    assert memory.node[0, s.Node.RETURNED_HEAD] == 0
    assert memory.node[0, s.Node.PARTIAL_HEAD] == NONE
    assert [take(memory, 0), take(memory, 0)] == [0, 1]


def test_a_full_block_that_loses_a_frame_is_first_on_the_list():
    memory = world()
    frames = [take(memory, 0) for _ in range(2 * BLOCK + 5)]
    free_frame(memory, frames[7])
    assert memory.node[0, s.Node.PARTIAL_HEAD] == 0
    assert take(memory, 0) == 7
    assert take(memory, 0) == 2 * BLOCK + 5


@given(st.lists(st.integers(0, 999), max_size=120))
@settings(max_examples=30)
def test_frames_are_conserved(choices):
    memory, used = world(nodes=1, blocks=2), []
    for choice in choices:
        if choice % 3 and used:
            free_frame(memory, used.pop(choice % len(used)))
        else:
            used.append(take(memory, 0))
    assert len(set(used)) == len(used)
    assert memory.node[0, s.Node.FREE] == 2 * BLOCK - len(used)
    recount = [sum(pfn // BLOCK == block for pfn in used) for block in (0, 1)]
    assert memory.block_used[:2].tolist() == recount


def queue_of(memory, lengths):
    at = 0
    for shard, length in enumerate(lengths):
        memory.shard[shard, s.Shard.QUEUE_FIRST] = at
        at += length
        memory.shard[shard, s.Shard.QUEUE_END] = at


def test_allotments_are_an_eighth_together_and_come_back():
    memory = world(nodes=1, blocks=8, shards=2)
    queue_of(memory, [1000, 3])
    before = memory.node[0, s.Node.FREE]
    allotment.lend(memory)
    assert min(before // 8, before - memory.node[0, s.Node.LOW]) // 2 > 64
    assert memory.pool[:, 0, s.Pool.LEFT].tolist() == [64, 3]
    frames = [rmqueue_shard(memory, 1, 0) for _ in range(4)]
    assert frames == [BLOCK, BLOCK + 1, BLOCK + 2, s.PUT_ASIDE]
    allotment.take_back(memory)
    assert memory.node[0, s.Node.FREE] == before - 3
    assert memory.block_list[:2].tolist() == [s.BlockList.RETURNED, s.BlockList.PARTIAL]


def test_a_shard_frees_at_the_barrier():
    memory = world(nodes=1, blocks=4, shards=2)
    frames = [take(memory, 0) for _ in range(4)]
    queue_of(memory, [10, 10])
    allotment.lend(memory)
    for pfn in (frames[2], frames[0]):
        put_page(memory, 1, pfn)
    assert memory.node[0, s.Node.FREE] == 4 * BLOCK - 4
    allotment.take_back(memory)
    for part in range(s.FREED_PARTS):
        free_part(memory, part)
    allotment.relist(memory)
    assert memory.node[0, s.Node.FREE] == 4 * BLOCK - 2
    assert [take(memory, 0), take(memory, 0)] == [frames[0], frames[2]]


def lend_and_take(memory, frames):
    """Lend to shard 0 of one, take so many frames; return what it was lent."""
    allotment.lend(memory)
    lent = int(memory.pool[0, 0, s.Pool.LEFT])
    for _ in range(frames):
        assert rmqueue_shard(memory, 0, 0) != s.PUT_ASIDE
    allotment.take_back(memory)
    return lent


def test_an_allotment_grows_with_what_was_taken_and_shrinks_by_half():
    memory = world(nodes=1, blocks=32, shards=1)
    queue_of(memory, [600])
    taken = [10, 20, 64, 0, 0, 0, 0, 0, 0, 50, 0, 0]
    lent = [lend_and_take(memory, frames) for frames in taken]
    assert lent == [64, 64, 80, 256, 128, 64, 64, 64, 64, 64, 200, 100]


def test_an_allotment_that_was_used_up_is_the_whole_queue_next():
    memory = world(nodes=1, blocks=32, shards=1)
    queue_of(memory, [600])
    assert lend_and_take(memory, 64) == 64
    assert lend_and_take(memory, 0) == 600
    # Four queues long, then half of that each time.
    assert [lend_and_take(memory, 0) for _ in range(5)] == [600, 600, 300, 150, 75]


def test_rows_give_the_frames_that_single_faults_would_get():
    one, row = (world(nodes=1, blocks=32, shards=1) for _ in range(2))
    for memory in (one, row):
        for pfn in [take(memory, 0) for _ in range(3 * BLOCK)][::3]:
            free_frame(memory, pfn)
        queue_of(memory, [600])
        memory.pool[0, 0, s.Pool.WANTED] = 600
        allotment.lend(memory)
    singly = [rmqueue_shard(one, 0, 0) for _ in range(200)]
    cursor, got = open_row(row, 0, 0), []
    for _ in range(200):
        assert has_frame(cursor)
        pfn, cursor = take_next(row, 0, 0, cursor)
        got.append(int(pfn))
    close_row(row, 0, 0, cursor)
    assert got == singly
    for name in ("block_free", "block_used", "block_list", "pool"):
        assert (getattr(one, name) == getattr(row, name)).all(), name


def test_below_the_low_watermark_nothing_is_allotted():
    memory = world(nodes=1, blocks=2, shards=1)
    while memory.node[0, s.Node.FREE] > memory.node[0, s.Node.LOW]:
        take(memory, 0)
    queue_of(memory, [100])
    allotment.lend(memory)
    assert rmqueue_shard(memory, 0, 0) == s.PUT_ASIDE


@pytest.mark.parametrize("ballast", [0, 1, 3])
def test_ballast_is_never_used(ballast):
    memory = world(nodes=1, blocks=4, shards=1, ballast=(ballast << 21,))
    usable = (4 - ballast) * BLOCK
    assert memory.node[0, s.Node.FREE] == usable == memory.node[0, s.Node.SPAN]
    assert max(take(memory, 0) for _ in range(usable)) == usable - 1
