"""VMAs are cut, merged and forked by rule; what calls see behind PROT_NONE."""

from dataclasses import replace

import pytest

from common.pair import MIB
from lazynuma.engine import Mode, Policy, Settings, Simulation, Thp, uniform
from lazynuma.engine.settings.system_calls import SystemCalls

NONE = -1
BLOCK = 512


class World:
    """A process that maps two blocks."""

    def __init__(self, **options):
        thp = Thp(enabled="always")
        self.sim = Simulation(
            uniform(2, 64 * MIB), Settings(thp=thp, sequential=True, **options)
        )
        self.process = self.sim.spawn("main", 64 * MIB)
        self.task = self.sim.start_task(self.process, 0)
        self.region = self.sim.mmap(self.process, 2 * BLOCK * 4096)

    def write(self, first, pages=1, task=None):
        task = task or self.task
        self.sim.populate(task, self.region.of(task.process), first, pages)

    def protect(self, first, pages, prot, task=None):
        task = task or self.task
        region = self.region.of(task.process)
        self.sim.mprotect(task, region, prot, first=first, pages=pages)

    def child(self, of=None):
        child = self.sim.fork(of or self.process)
        return self.sim.start_task(child, 0)

    def spans(self, task=None):
        process = task.process if task else self.process
        first = self.region.first
        return [(vma.start - first, vma.end - first) for vma in process.vmas]


@pytest.mark.parametrize(
    ("dups", "spans"), [(False, [(0, 328), (328, 1024)]), (True, [(0, 1024)])]
)
def test_what_was_written_joins_what_never_was_since_6_16(dups, spans):
    w = World(merge_into_unfaulted=dups)
    w.sim.mbind(w.task, w.region, Policy(Mode.BIND, (1,)), first=328, pages=696)
    w.write(BLOCK)
    w.sim.mbind(w.task, w.region, Policy(Mode.BIND, (0,)))
    assert w.spans() == spans


def test_what_never_was_written_joins_what_was():
    w = World()
    w.protect(0, 100, "r")
    w.write(BLOCK)
    w.protect(0, 100, "rw")
    assert w.spans() == [(0, 1024)]
    w.sim.madvise(w.task, w.region, "dontneed")
    w.write(0)
    assert w.sim.huge_pages(w.process) == BLOCK


def test_what_a_child_has_from_its_parent_stays_apart():
    w = World()
    w.protect(0, 100, "r")
    w.write(BLOCK)
    kid = w.child()
    w.protect(0, 100, "rw", kid)
    assert w.spans(kid) == [(0, 100), (100, 1024)]
    w.write(0, task=kid)
    assert w.sim.huge_pages(kid.process) == BLOCK  # the parent's


def test_parts_of_one_vma_are_the_childs_own_apart():
    w = World()
    w.write(BLOCK)
    w.protect(0, 100, "r")
    kid = w.child()
    for task in (w.task, kid):
        w.protect(0, 100, "rw", task)
    assert w.spans() == [(0, 1024)]
    assert w.spans(kid) == [(0, 100), (100, 1024)]


def test_a_neighbours_anon_vma_is_taken_over_the_next_ones_first():
    w = World()
    for first in (200, 600):
        w.protect(first, 200, "r")
    w.write(0)
    w.write(900)
    w.write(500)  # between those of 0 and of 900, but not beside them
    numbers = [vma.anon_vma for vma in w.process.vmas]
    assert numbers[1] == numbers[3] == NONE and len({*numbers}) == 4
    w.protect(200, 200, "rw")
    w.write(300)
    assert [vma.anon_vma for vma in w.process.vmas][0] == numbers[0]
    # It joined the one before it; the one behind has another.
    assert w.spans()[:2] == [(0, 400), (400, 600)]


def test_a_grandchild_takes_over_what_the_dead_left():
    w = World()
    w.write(0)
    kid = w.child()
    grandkid = w.child(kid.process)
    own = kid.process.vmas[0].anon_vma
    assert len(grandkid.process.vmas[0].chain) == 3
    w.sim.exit(kid.process)
    late = w.child(grandkid.process)
    assert late.process.vmas[0].anon_vma == own
    assert len(late.process.vmas[0].chain) == 3


def test_fork_copies_no_zero_pages_of_what_was_never_written():
    w = World()
    w.sim.advise(w.task, w.region, "nohugepage")
    w.sim.madvise(w.task, w.region, "populate_read", first=0, pages=9)
    kid = w.child()
    assert w.sim.page(kid.process, w.region.first).kind == "none"
    w.write(100)
    kid = w.child()
    assert w.sim.page(kid.process, w.region.first).kind == "zero"


@pytest.mark.parametrize(("sees", "small", "huge"), [(True, 1, 1), (False, -2, -14)])
def test_move_pages_may_not_see_what_is_behind_prot_none(sees, small, huge):
    calls = replace(SystemCalls(), follow_protnone=sees)
    w = World(calls=calls)
    w.write(BLOCK, BLOCK)
    w.sim.advise(w.task, w.region, "nohugepage", pages=BLOCK)
    w.write(0, 2)
    w.protect(1, 2 * BLOCK - 1, "none")
    status = w.sim.move_pages(w.task, w.region, 1)
    assert status[[0, 1, BLOCK, BLOCK + 2]].tolist() == [1, small, huge, huge]
    states = [run[1] for run in w.sim.observe(w.region).runs]
    assert ("marked" in states) == (not sees)


def test_the_second_page_of_a_folio_that_is_moved_is_busy():
    w = World()
    w.write(BLOCK, BLOCK)
    status = w.sim.move_pages(w.task, w.region, 1, first=BLOCK + 5, pages=9)
    assert status.tolist() == [1, -16] + [1] * 7


@pytest.mark.parametrize("frees", [False, True])
def test_dontneed_may_free_page_tables(frees):
    w = World(calls=replace(SystemCalls(), dontneed_frees_tables=frees))
    w.sim.advise(w.task, w.region, "nohugepage")
    w.write(0, 2 * BLOCK)
    w.sim.advise(w.task, w.region, "none")
    w.sim.madvise(w.task, w.region, "dontneed", first=1, pages=2 * BLOCK - 1)
    w.write(1)
    w.write(BLOCK)
    assert w.sim.huge_pages(w.process) == BLOCK * frees
