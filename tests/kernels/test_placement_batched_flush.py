"""migrate_pages_batch (6.3): calls that move pages flush TLBs once a batch.

``docs/model/calls.md`` 13 states the rules.
"""

import numpy as np
import pytest

from lazynuma.engine import (
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Thp,
    uniform,
)
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels.counters import Cause, Vm

MIB, FLUSH = 1 << 20, 1000 + 3 * 200
CALLS = ("mbind", "move_pages", "migrate_pages", "swapcache", "migcache")


def world(batched, pages, thp="never", memory=16 * MIB):
    """Return a simulation, four tasks of a process, and its memory on node 0."""
    settings = Settings(
        migrate_pages_batch=batched, thp=Thp(enabled=thp), swap_bytes=16 * MIB
    )
    sim = Simulation(uniform(2, memory, cpus_per_node=4), settings)
    process = sim.spawn("job")
    tasks = [sim.start_task(process, cpu) for cpu in range(4)]
    region = sim.mmap(process, pages * 4096)
    sim.populate(tasks[0], region)
    sim.synchronize()
    return sim, tasks, region


def call(sim, task, region, name, **part):
    """Let a task move or park memory by the call of that name."""
    if name == "mbind":
        sim.mbind(task, region, Policy(Mode.BIND, (1,)), move=True, **part)
    elif name == "move_pages":
        sim.move_pages(task, region, 1, **part)
    elif name == "migrate_pages":
        sim.migrate_pages(task, [0], [1])
    else:
        sim.mark(task, region, Mechanism[name.upper()], **part)


def flushed(sim, tasks, region, name, **part):
    """Return (flushes, ns of the caller) of a call."""
    before, clock = sim.total("tlb_flushes"), sim.clock(tasks[0])
    call(sim, tasks[0], region, name, **part)
    return sim.total("tlb_flushes") - before, sim.clock(tasks[0]) - clock


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("pages", [1, 511, 512, 513, 1100])
def test_a_batch_is_512_pages(name, pages):
    each, alone = flushed(*world(False, pages), name)
    some, together = flushed(*world(True, pages), name)
    assert each == pages and some == -(-pages // 512)
    assert alone - together == (each - some) * FLUSH


@pytest.mark.parametrize("name", CALLS)
def test_pages_go_where_they_went(name):
    """Only flushes and their time differ."""
    sims = [world(batched, 1100) for batched in (False, True)]
    for sim, tasks, region in sims:
        call(sim, tasks[0], region, name)
    (one, _, a), (other, _, b) = sims
    where = [
        [(sim.page(r.process, r.first + i).node) for i in range(r.pages)]
        for sim, r in ((one, a), (other, b))
    ]
    assert where[0] == where[1]
    flushed = [Vm.TLB_FLUSHES, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED]
    counts = [np.delete(sim.counters(), flushed, 1) for sim in (one, other)]
    np.testing.assert_array_equal(*counts)
    spent = [
        np.delete(sim.spent[0], [Cause.MIGRATION, Cause.SYSCALL])
        for sim in (one, other)
    ]
    np.testing.assert_array_equal(*spent)


@pytest.mark.parametrize("batched", [False, True])
def test_hinting_marks_in_batches_anyway(batched):
    sim, tasks, region = world(batched, 1100)
    before = sim.total("tlb_flushes")
    sim.mark(tasks[0], region, Mechanism.HINTING)
    assert sim.total("tlb_flushes") - before == 3


def test_a_page_that_stays_ends_the_batch_of_move_pages():
    """do_pages_move moves the list of pages before one that is there already."""
    sim, tasks, region = world(True, 300)
    sim.move_pages(tasks[0], region, 1, first=100, pages=1)
    assert flushed(sim, tasks, region, "move_pages")[0] == 2
    sim, tasks, region = world(True, 300)
    sim.move_pages(tasks[0], region, 1, first=100, pages=1)
    assert flushed(sim, tasks, region, "mbind")[0] == 1


def test_one_list_spans_the_vmas_of_a_call():
    sim, tasks, region = world(True, 300)
    sim.mprotect(tasks[0], region, "r", first=100, pages=100)
    assert len(region.process.vmas) == 3
    assert flushed(sim, tasks, region, "mbind")[0] == 1


@pytest.mark.parametrize("name", ["mbind", "move_pages", "migrate_pages"])
@pytest.mark.parametrize("batched", [False, True])
def test_a_folio_flushes_by_itself(name, batched):
    """TLB flushing is batched for normal folios only (7e12beb8ca2a)."""
    sim, tasks, region = world(batched, 3 * 512, "always")
    assert sim.huge_pages(region.process) == 3 * 512
    assert flushed(sim, tasks, region, name)[0] == 3


def test_the_pages_of_a_split_folio_are_a_batch():
    """No block is free on node 1: the folio is split (split_folios)."""
    sim, tasks, region = world(True, 512, "always", 8 * MIB)
    other = sim.spawn("crumbs")
    filler = sim.start_task(other, 4)
    crumbs = sim.mmap(other, 8 * MIB)
    sim.advise(filler, crumbs, "nohugepage")
    sim.set_mempolicy(filler, Policy(Mode.BIND, (1,)))
    free = sim.free(1)
    sim.populate(filler, crumbs, 0, free)
    for first in range(0, free, 3):
        sim.munmap(filler, crumbs, first, 1)
    assert flushed(sim, tasks, region, "move_pages", pages=200)[0] == 1
    assert sim.total("thp_migration_split") == 1
    assert sim.page(region.process, region.first + 199).node == 1


def test_profiles_of_6_3_and_later_batch():
    batched = {name for name, rules in PROFILES.items() if rules.migrate_pages_batch}
    assert batched == {f"linux-{one}" for one in ("6.4", "6.12", "6.16", "6.18", "7.3")}
    assert not Settings().migrate_pages_batch
