"""Shared mappings: what Linux's mm/shmem.c does, by hand (``docs/model/fault.md``)."""

import numpy as np
import pytest

from common.pair import MECHANISMS
from lazynuma.engine import (
    BadInput,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Uniform,
    uniform,
)
from lazynuma.engine.calls.advice import EINVAL
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.engine.state.observation import observe

MIB = 1 << 20
PAGES = 64
ALWAYS = Thp(enabled="always")


class World:
    """A process on CPU 0 and its child on CPU 1, which share ``region``."""

    def __init__(self, **settings):
        self.sim = Simulation(
            uniform(4, 16 * MIB),
            Settings(
                **{"sequential": True, "swap_bytes": MIB, "thp": ALWAYS} | settings
            ),
        )
        process = self.sim.spawn(nbytes=128 * MIB)
        self.main = self.sim.start_task(process, 0)
        self.region = self.sim.mmap(process, PAGES * 4096, shared=True)
        self.empty = self.free()

    def fork(self, cpu=1):
        child = self.sim.fork(self.main.process)
        return self.sim.start_task(child, cpu), self.region.of(child)

    def touch(self, task, first, pages=1, write=True):
        region = self.region.of(task.process)
        part = {"first": first, "pages": pages, "count": pages}
        writes = 1.0 if write else 0.0
        self.sim.run([Sweep(task=task, region=region, **part, write=writes)])

    def free(self):
        return sum(self.sim.free(node) for node in range(4))

    def used(self):
        return self.empty - self.free()

    def mapped(self, task):
        """Return the pages of the mapping that a task's process maps."""
        process = task.process
        pages = range(self.region.first, self.region.first + PAGES)
        return [
            vpn - self.region.first
            for vpn in pages
            if self.sim.page(process, vpn).kind == "present"
        ]

    def nodes(self, task):
        pages = [self.region.first + page for page in self.mapped(task)]
        return [self.sim.page(task.process, vpn).node for vpn in pages]

    def page(self, task, page):
        return self.sim.page(task.process, self.region.first + page)

    def swapped(self, task):
        return observe(self.sim.memory, self.region.of(task.process)).swapped


@pytest.fixture
def world():
    made = World()
    yield made
    made.sim.check()


def test_a_child_maps_nothing_until_it_touches_and_then_the_same_page(world):
    world.touch(world.main, 0, 8)
    child, _ = world.fork()
    assert world.mapped(child) == []
    assert world.sim.rss(child.process) == 0
    world.touch(child, 3)
    assert world.mapped(child) == [3]
    assert world.page(child, 3).frame == world.page(world.main, 3).frame
    assert world.page(child, 3).mapcount == 2
    assert world.used() == 8
    assert world.sim.total("cow_faults") == 0


def test_what_a_child_writes_is_the_parents_page(world):
    child, _ = world.fork()
    world.touch(child, 5)
    world.touch(world.main, 5, write=False)
    page = world.page(world.main, 5)
    assert (page.node, page.frame) == (1, world.page(child, 5).frame)


def test_a_read_allocates_and_maps_for_writing(world):
    world.touch(world.main, 9, write=False)
    page = world.page(world.main, 9)
    assert (page.kind, page.write, page.dirty, page.huge) == (
        "present",
        True,
        False,
        False,
    )
    assert world.sim.total("zero_page_faults") == 0
    faults = world.sim.total("pgfault")
    world.touch(world.main, 9)
    assert world.sim.total("pgfault") == faults
    assert world.page(world.main, 9).dirty


def test_a_read_fault_maps_the_resident_pages_of_its_64_kib(world):
    world.touch(world.main, 0, 40)
    child, _ = world.fork()
    world.touch(child, 20, write=False)
    assert world.mapped(child) == list(range(16, 32))
    world.touch(child, 40, write=False)
    # Page 40 is new; of the pages around only 32 to 39 were there.
    assert world.mapped(child) == list(range(16, 41))
    assert world.sim.total("pgfault") == 40 + 2


def test_a_write_fault_maps_one_page(world):
    world.touch(world.main, 0, 40)
    child, _ = world.fork()
    world.touch(child, 20)
    assert world.mapped(child) == [20]


def test_faults_around_stay_within_the_vma(world):
    world.touch(world.main, 0, PAGES)
    child, region = world.fork()
    world.sim.mprotect(child, region, "r", 20, 4)
    world.touch(child, 21, write=False)
    assert world.mapped(child) == [20, 21, 22, 23]
    assert not world.page(child, 21).write
    # Of a VMA that begins at page 24, 16 pages from there.
    world.touch(child, 30, write=False)
    assert world.mapped(child) == list(range(20, 40))


def test_a_protection_that_is_lifted_lets_shared_pages_be_written(world):
    world.touch(world.main, 0, 2)
    child, region = world.fork()
    world.sim.mprotect(child, region, "r")
    world.touch(child, 0, write=False)
    world.sim.mprotect(child, region, "rw")
    assert world.page(child, 0).write
    assert world.page(child, 0).mapcount == 2


def test_no_huge_page_is_faulted_in_nor_collapsed(world):
    region = world.sim.mmap(world.main.process, 4 * MIB, shared=True)
    world.sim.run([Sweep(task=world.main, region=region, count=1024)])
    world.sim.khugepaged.finish_scan()
    assert world.sim.huge_pages(world.main.process) == 0
    assert world.sim.total("thp_fault_fallback") == 0
    assert world.sim.pages_collapsed == 0


def test_what_is_not_modelled_is_refused(world):
    region = world.sim.mmap(world.main.process, 4 * MIB, shared=True)
    with pytest.raises(BadInput, match="private to be collapsed"):
        world.sim.collapse(world.main, region)
    # Of less than a block there is nothing to collapse.
    assert world.sim.collapse(world.main, region, 10, 400) == EINVAL
    assert world.sim.collapse(world.main, world.region) == EINVAL
    for mechanism in MECHANISMS:
        with pytest.raises(BadInput, match="private to be marked"):
            world.sim.mark(world.main, region, mechanism)


def test_dontneed_unmaps_and_keeps_the_page(world):
    world.touch(world.main, 0, 4)
    frames = [world.page(world.main, page).frame for page in range(4)]
    assert world.sim.madvise(world.main, world.region, "dontneed") == 0
    assert world.mapped(world.main) == []
    assert world.used() == 4
    world.sim.move_task(world.main, 2)
    world.touch(world.main, 0, 4)
    assert [world.page(world.main, page).frame for page in range(4)] == frames
    assert world.used() == 4


def test_free_is_for_private_memory(world):
    world.touch(world.main, 0, 4)
    assert world.sim.madvise(world.main, world.region, "free") == EINVAL
    assert len(world.mapped(world.main)) == 4


def test_pages_go_with_the_last_mapping(world):
    world.touch(world.main, 0, 4)
    child, region = world.fork()
    world.sim.munmap(world.main, world.region)
    assert world.used() == 4
    world.touch(child, 0, 8)
    assert world.used() == 8
    # What nobody can reach any more stays as well, while a part is mapped.
    world.sim.munmap(child, region, 0, 8)
    assert world.used() == 8
    world.sim.munmap(child, region, 8, PAGES - 8)
    assert world.used() == 0


def test_pages_go_with_the_last_process(world):
    world.touch(world.main, 0, 4)
    child, _ = world.fork()
    world.sim.exit(world.main.process)
    assert world.used() == 4
    world.touch(child, 2)
    assert world.used() == 4
    world.sim.exit(child.process)
    assert world.used() == 0


def test_a_policy_is_the_objects(world):
    child, region = world.fork()
    world.sim.mbind(world.main, world.region, Policy(Mode.BIND, (3,)), first=0, pages=8)
    world.touch(child, 0, 16)
    assert world.nodes(child) == [3] * 8 + [1] * 8


def test_mbind_passes_over_a_vma_that_has_the_policy(world):
    child, region = world.fork()
    world.sim.mbind(world.main, world.region, Policy(Mode.BIND, (3,)))
    # The child's VMA has the default policy, so its object keeps the parent's.
    world.sim.mbind(child, region, Policy(Mode.DEFAULT))
    world.touch(child, 0)
    world.sim.mbind(child, region, Policy(Mode.PREFERRED, (2,)))
    world.touch(world.main, 1)
    world.sim.mbind(child, region, Policy(Mode.DEFAULT))
    world.touch(child, 2)
    assert [world.page(child, page).node for page in (0, 2)] == [3, 1]
    assert world.page(world.main, 1).node == 2


def test_without_a_policy_the_tasks_counts(world):
    child, _ = world.fork()
    world.sim.set_mempolicy(child, Policy(Mode.PREFERRED, (2,)))
    world.touch(child, 0)
    world.touch(world.main, 1)
    assert (world.page(child, 0).node, world.page(world.main, 1).node) == (2, 0)


@pytest.mark.parametrize(
    ("profile", "moved"),
    [("linux-6.1", [0, 1, 3, 0, 1, 3]), ("linux-6.12", [3, 0, 1, 3, 0, 1])],
)
def test_interleaving_begins_with_the_inode_number(profile, moved):
    world = World(calls=PROFILES[profile].calls)
    policy = Policy(Mode.INTERLEAVE, (0, 1, 3))
    world.sim.mbind(world.main, world.region, policy)
    world.touch(world.main, 0, 6)
    # The first object of CPU 0 has number 2.
    assert world.nodes(world.main) == [3, 0, 1, 3, 0, 1]
    # mbind moved by the page's place in the mapping alone until 6.7.
    world.sim.mbind(world.main, world.region, Policy(Mode.BIND, (2,)), move=True)
    world.sim.mbind(world.main, world.region, policy, move=True)
    assert world.nodes(world.main) == moved


def test_inode_numbers_come_in_batches_of_a_cpu(world):
    child, _ = world.fork(cpu=1)
    made = [world.sim.mmap(task.process, MIB, shared=True) for task in 2 * [child]]
    made.append(world.sim.mmap(world.main.process, MIB, shared=True))
    numbers = [one.ino for one in world.sim.objects]
    assert numbers == [2, 1024, 1025, 3]
    # No two objects of a family have a page in common.
    assert len({region.first for region in made}) == 3


def test_pages_that_others_map_are_moved_only_with_move_all(world):
    world.touch(world.main, 0, 4)
    child, region = world.fork()
    world.touch(child, 0, 2)
    status = world.sim.move_pages(world.main, world.region, 2, first=0, pages=6)
    assert status.tolist() == [-13, -13, 2, 2, -2, -2]
    world.sim.move_pages(world.main, world.region, 3, move_all=True, first=0, pages=6)
    assert world.nodes(world.main) == [3] * 4
    assert world.nodes(child) == [3] * 2
    assert world.page(child, 1).frame == world.page(world.main, 1).frame
    world.sim.mbind(child, region, Policy(Mode.BIND, (1,)), move=True)
    assert world.nodes(child) == [3, 3]


def test_a_page_that_moved_while_unmapped_by_one_is_found_by_it(world):
    world.touch(world.main, 0, 4)
    child, _ = world.fork()
    assert world.sim.migrate_pages(world.main, [0], [2]) == 0
    world.touch(child, 0, 4)
    assert world.nodes(child) == [2] * 4


def test_pageout_swaps_written_pages_and_forgets_read_ones(world):
    world.touch(world.main, 0, 4)
    world.touch(world.main, 32, 4, write=False)
    child, _ = world.fork()
    world.touch(child, 0)
    assert world.sim.madvise(world.main, world.region, "pageout") == 0
    # Page 0 is mapped twice, so it is left alone.
    assert world.mapped(world.main) == [0]
    assert world.swapped(world.main) == world.swapped(child) == 3
    assert world.sim.swapents(world.main.process) == 0
    assert world.used() == 1
    assert world.sim.total("pswpout") == 3
    assert world.page(world.main, 1).kind == "none"
    world.touch(child, 1, write=False)
    assert world.sim.total("pswpin") == world.sim.total("pgmajfault") == 1
    assert world.mapped(child) == [0, 1]
    assert world.swapped(world.main) == 2
    # It was read from swap, so it must be written again.
    world.sim.madvise(child, world.region.of(child.process), "pageout", 1, 1)
    assert world.sim.total("pswpout") == 4


def test_swap_slots_go_with_the_object(world):
    world.touch(world.main, 0, 4)
    world.sim.madvise(world.main, world.region, "pageout")
    assert world.sim.slots_in_use == 4
    world.sim.exit(world.main.process)
    assert world.sim.slots_in_use == 0


def test_swapoff_fills_the_page_cache(world):
    world.sim.mbind(world.main, world.region, Policy(Mode.BIND, (3,)))
    world.touch(world.main, 0, 4)
    world.sim.madvise(world.main, world.region, "pageout")
    world.sim.swapoff(world.main)
    assert (world.mapped(world.main), world.used()) == ([], 4)
    assert world.sim.free(3) == world.sim.free(2) - 4
    world.touch(world.main, 0, write=False)
    assert world.mapped(world.main) == [0, 1, 2, 3]
    assert world.sim.total("pgmajfault") == 0


def test_reclaim_unmaps_all_and_swaps():
    world = World(swap_bytes=16 * MIB)
    region = world.sim.mmap(world.main.process, 72 * MIB, shared=True)
    child, _ = world.fork()
    world.touch(world.main, 0, PAGES)
    world.touch(child, 0, PAGES)
    pages = 72 * 256
    sweep = {"region": region, "count": pages, "pages": pages}
    world.sim.run([Sweep(task=world.main, **sweep)])
    assert world.sim.total("pswpout") > 0
    world.touch(child, 0, PAGES)
    assert len(world.mapped(child)) == PAGES
    world.sim.check()


def test_hot_remove_takes_shared_pages_along(world):
    world.touch(world.main, 0, 4)
    world.sim.madvise(world.main, world.region, "dontneed", 0, 2)
    assert world.sim.hot_remove(0) == 0
    world.touch(world.main, 0, 4, write=False)
    assert len(world.mapped(world.main)) == 4
    assert 0 not in world.nodes(world.main)


def test_populate_maps_around_for_reading_and_page_by_page_for_writing(world):
    assert world.sim.populate(world.main, world.region) == PAGES
    child, region = world.fork()
    faults = world.sim.total("pgfault")
    assert world.sim.madvise(child, region, "populate_read") == 0
    assert world.sim.total("pgfault") == faults + PAGES // 16
    assert len(world.mapped(child)) == PAGES


def story(**how):
    """Play accesses of four processes to what they share; return what came of it."""
    sim = Simulation(uniform(4, 8 * MIB), Settings(shards=8), **how)
    process = sim.spawn(nbytes=64 * MIB)
    region = sim.mmap(process, 12 * MIB, shared=True)
    tasks = [sim.start_task(process, 0)]
    tasks += [sim.start_task(sim.fork(process), cpu) for cpu in (1, 2, 3)]
    policy = Policy(Mode.INTERLEAVE, (1, 2))
    sim.mbind(tasks[1], region.of(tasks[1].process), policy, first=0, pages=900)
    for writes in (0.3, 0.0, 1.0):
        sim.run(
            Uniform(
                task=task,
                region=region.of(task.process),
                count=3000,
                write=writes,
            )
            for task in tasks
        )
        sim.madvise(tasks[2], region.of(tasks[2].process), "dontneed")
        sim.move_pages(tasks[3], region.of(tasks[3].process), 0, True, 0, 700)
    sim.check()
    entries = [
        sim.page(task.process, region.first + page)
        for task in tasks
        for page in range(region.pages)
    ]
    return sim.counters(), [sim.clock(task) for task in tasks], entries


def test_threads_and_batches_change_nothing():
    counters, clocks, entries = story()
    for how in ({"threads": 2}, {"batch": 100}, {"threads": 3, "batch": 1}):
        again = story(**how)
        assert np.array_equal(again[0], counters)
        assert again[1:] == (clocks, entries)
