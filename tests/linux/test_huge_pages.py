"""What Linux 6.1 did with huge pages on a machine of four nodes."""

import pytest

from common.huge_pages import BLOCK, linux
from lazynuma.engine import Mode, Policy


def state(world, region, process=None):
    """Return (runs, kB mapped by PMDs, kB of rss), as a recording has them."""
    who = process or world.process
    small = world.sim.huge_pages(who) * 4, world.sim.rss(who) * 4
    return world.runs(region, process=who), *small


def test_linux_unmap_protect_and_move():
    """A hole, a protected page, a whole and a partial move, an end cut off.

    Recorded with MADV_DONTNEED where this unmaps.
    """
    world = linux()
    sim, task, region = world.sim, world.task, world.map(4096)
    world.touch(region, 0, 4096, cpu=1)
    assert state(world, region) == ([(4096, "present", 1, True)], 16384, 16384)
    assert world.changes() == {"thp_fault_alloc": 8}
    sim.munmap(task, region, 512, 1)
    hole = [(512, "present", 1, True), (1, "none", None, False)]
    all_there = [*hole, (3583, "present", 1, True)]
    assert state(world, region) == (all_there, 14336, 16380)
    assert world.changes() == {"thp_deferred_split_page": 1, "thp_split_pmd": 1}
    sim.mprotect(task, region, "r", 1024, 1)
    assert state(world, region) == (all_there, 12288, 16380)
    assert world.changes() == {"thp_split_pmd": 1}
    sim.move_pages(task, region, 3, first=2048, pages=512)
    sim.move_pages(task, region, 3, first=2560, pages=1)
    moved = [*hole, (1535, "present", 1, True), (1024, "present", 3, True)]
    assert state(world, region) == (
        [*moved, (1024, "present", 1, True)],
        12288,
        16380,
    )
    assert world.changes() == {"thp_migration_success": 2}
    sim.munmap(task, region, 3584, 256)
    tail = [(512, "present", 1, True), (256, "none", None, False)]
    runs = [*moved, *tail, (256, "present", 1, True)]
    assert state(world, region) == (runs, 10240, 15356)
    assert world.changes() == {"thp_deferred_split_page": 1, "thp_split_pmd": 1}


def unmap(first, pages):
    return lambda w, r: w.sim.munmap(w.task, r, first, pages)


def protect(prot, first, pages):
    return lambda w, r: w.sim.mprotect(w.task, r, prot, first, pages)


def move(node, first, pages):
    return lambda w, r: w.sim.move_pages(w.task, r, node, first=first, pages=pages)


def bind(node, first, pages):
    policy = Policy(Mode.BIND, (node,))
    return lambda w, r: w.sim.mbind(
        w.task, r, policy, move=True, first=first, pages=pages
    )


def there(pages, node):
    return pages, "present", node, True


def none(pages):
    return pages, "none", None, False


SPLIT, DEFERRED, MOVED = (
    "thp_split_pmd",
    "thp_deferred_split_page",
    ("thp_migration_success"),
)


@pytest.mark.parametrize(
    ("pages", "cpu", "steps"),
    [
        (
            1536,
            1,
            [
                # Pages are on the node already; the protection is the same already.
                (move(1, 420, 506), [there(1536, 1)], 6144, {}),
                (
                    unmap(1456, 80),
                    [there(1456, 1), none(80)],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (protect("rw", 188, 120), [there(1456, 1), none(80)], 4096, {}),
            ],
        ),
        (
            1536,
            3,
            [
                (protect("r", 530, 174), [there(1536, 3)], 4096, {SPLIT: 1}),
                (protect("r", 437, 527), [there(1536, 3)], 2048, {SPLIT: 1}),
                (
                    move(0, 1161, 1),
                    [there(1024, 3), there(512, 0)],
                    2048,
                    {MOVED: 1},
                ),
            ],
        ),
        (
            3072,
            1,
            [
                (
                    bind(3, 43, 512),
                    [there(1024, 3), there(2048, 1)],
                    8192,
                    {DEFERRED: 2, SPLIT: 2, MOVED: 2},
                ),
                (move(1, 1524, 478), [there(1024, 3), there(2048, 1)], 8192, {}),
                (
                    bind(1, 172, 512),
                    [there(3072, 1)],
                    8192,
                    {DEFERRED: 2, MOVED: 2},
                ),
                (
                    bind(0, 2692, 46),
                    [there(2560, 1), there(512, 0)],
                    6144,
                    {DEFERRED: 1, SPLIT: 1, MOVED: 1},
                ),
            ],
        ),
        (
            2560,
            0,
            [
                (protect("rw", 1612, 202), [there(2560, 0)], 10240, {}),
                (
                    bind(1, 1060, 512),
                    [there(1024, 0), there(1024, 1), there(512, 0)],
                    6144,
                    {DEFERRED: 2, SPLIT: 2, MOVED: 2},
                ),
                (
                    unmap(95, 1),
                    [
                        there(95, 0),
                        none(1),
                        there(928, 0),
                        there(1024, 1),
                        there(512, 0),
                    ],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (
                    protect("r", 2184, 376),
                    [
                        there(95, 0),
                        none(1),
                        there(928, 0),
                        there(1024, 1),
                        there(512, 0),
                    ],
                    2048,
                    {SPLIT: 1},
                ),
            ],
        ),
        (
            1536,
            0,
            [
                (
                    unmap(524, 1),
                    [there(524, 0), none(1), there(1011, 0)],
                    4096,
                    {DEFERRED: 1, SPLIT: 1},
                ),
                (
                    protect("rw", 665, 512),
                    [there(524, 0), none(1), there(1011, 0)],
                    4096,
                    {},
                ),
                (
                    move(1, 1398, 47),
                    [there(524, 0), none(1), there(499, 0), there(512, 1)],
                    4096,
                    {MOVED: 1},
                ),
            ],
        ),
    ],
    ids=["same-node", "protect-twice", "bind-parts", "protect-same", "hole"],
)
def test_linux_splits(pages, cpu, steps):
    world = linux()
    region = world.map(pages)
    world.touch(region, 0, pages, stride=BLOCK, cpu=cpu)
    assert state(world, region) == ([there(pages, cpu)], pages * 4, pages * 4)
    assert world.changes() == {"thp_fault_alloc": pages // BLOCK}
    for operation, runs, mapped_kb, counted in steps:
        operation(world, region)
        found = state(world, region)
        assert found[:2] == (runs, mapped_kb)
        assert found[2] == 4 * sum(run[0] for run in runs if run[1] == "present")
        assert world.changes() == counted
    world.sim.check()


def test_linux_policies():
    world = linux()
    sim, task = world.sim, world.task
    bound = world.map(2048)
    sim.mbind(task, bound, Policy(Mode.BIND, (2, 3)))
    world.touch(bound, 0, 2048)
    assert state(world, bound)[0] == [there(2048, 2)]
    moved = world.map(2048)
    world.touch(moved, 0, 2048)
    sim.mbind(task, moved, Policy(Mode.BIND, (2,)), move=True)
    assert world.runs(moved) == [there(2048, 2)]
    assert sim.huge_pages(world.process) == 4096
    # Both folios that the range touches move whole, and both mappings are split.
    sim.mbind(task, moved, Policy(Mode.BIND, (3,)), move=True, first=256, pages=512)
    assert world.runs(moved) == [there(1024, 3), there(1024, 2)]
    assert sim.huge_pages(world.process) == 3072
    tail = world.map(2304)
    world.touch(tail, 0, 2304)
    assert world.runs(tail) == [there(2048, 0), (256, "present", 0, False)]
    assert world.changes() == {
        "thp_fault_alloc": 12,
        DEFERRED: 2,
        SPLIT: 2,
        MOVED: 6,
    }


def test_linux_zero_pages():
    """Written to, a huge zero page becomes small pages, even page after page."""
    world = linux()
    region = world.map(2048)
    world.touch(region, 0, 2048, write=False)
    assert state(world, region) == ([(2048, "zero", None, False)], 0, 0)
    world.touch(region, 0)
    world.touch(region, 512, 512)
    runs = [(1, "present", 0, False), (511, "zero", None, False)]
    runs += [(512, "present", 0, False), (1024, "zero", None, False)]
    assert state(world, region) == (runs, 0, 2052)
    assert world.changes() == {SPLIT: 2}


def test_linux_fork_and_copy_on_write():
    world = linux()
    region = world.map(2048)
    world.touch(region, 0, 2048)
    kid = world.sim.fork(world.process, "kid")
    task = world.sim.start_task(kid, 2)
    world.touch(region, 0, by=task)
    world.touch(region, 512, 512, by=task)
    runs = [(1, "present", 2, False), there(511, 0)]
    runs += [(512, "present", 2, False), there(1024, 0)]
    assert state(world, region, kid) == (runs, 4096, 8192)
    assert state(world, region) == ([there(2048, 0)], 8192, 8192)
    assert world.changes() == {"thp_fault_alloc": 4, SPLIT: 2}
    world.touch(region, 0)
    world.touch(region, 1024)
    own = (1, "present", 0, False)
    runs = 2 * [own, there(1023, 0)]
    assert state(world, region) == (runs, 4096, 8192)
    assert world.changes() == {DEFERRED: 1, SPLIT: 2}
    world.sim.exit(kid)
    world.touch(region, 1536)
    assert state(world, region) == (runs, 4096, 8192)
    assert world.changes() == {DEFERRED: 1}
    world.sim.check()
