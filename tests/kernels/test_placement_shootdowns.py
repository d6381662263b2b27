"""TLB flushes of pages that move: whom they interrupt, and which locks wait for them.

``docs/model/calls.md`` 13 and ``docs/model/lazy.md`` 6 state the rules.
"""

import pytest

from lazynuma.engine import (
    Balancing,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    uniform,
)
from lazynuma.engine.quantum.lock_windows import tables
from lazynuma.engine.settings.locks import ROWS, Locks
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels.counters import Cause, Op

MIB = 1 << 20
#: Three of four tasks are interrupted.
FLUSH = 1000 + 3 * 200
#: 700 ns and a copy of 4 KiB at 3.184 GB/s.
MIGRATION = 700 + 1286


def world(pages=1100, thp="never", **settings):
    """Return a simulation, four tasks of a process, and its memory on node 0."""
    settings = Settings(thp=Thp(enabled=thp), **settings)
    sim = Simulation(uniform(2, 16 * MIB, cpus_per_node=4), settings)
    process = sim.spawn("job")
    tasks = [sim.start_task(process, cpu) for cpu in range(4)]
    region = sim.mmap(process, pages * 4096)
    sim.populate(tasks[0], region)
    sim.synchronize()
    return sim, tasks, region


def received(sim):
    return sim.total("nr_tlb_remote_flush_received")


def ops(sim, op):
    return int(sim.memory.ops[:, :, op].sum())


@pytest.mark.parametrize("batched, flushes", [(False, 1100), (True, 3)])
def test_a_flush_interrupts_all_other_tasks(batched, flushes):
    sim, tasks, region = world(migrate_pages_batch=batched)
    sim.move_pages(tasks[0], region, 1)
    assert sim.total("tlb_flushes") == flushes and received(sim) == 3 * flushes


def test_a_task_alone_interrupts_nobody():
    sim, tasks, region = world()
    other = sim.spawn("other")
    task = sim.start_task(other, 4)
    own = sim.mmap(other, 4096)
    sim.populate(task, own)
    sim.move_pages(task, own, 0)
    assert sim.total("tlb_flushes") == 1 and received(sim) == 0


@pytest.mark.parametrize(
    "thp, pages, batched, walks",
    [
        ("never", 1100, False, 1100),
        ("never", 1100, True, 0),  # flushed once all walks of the batch are done
        ("always", 1024, False, 2),
        ("always", 1024, True, 2),  # a folio flushes by itself
    ],
)
def test_a_flush_of_a_batch_holds_no_lock_of_a_page(thp, pages, batched, walks):
    sim, tasks, region = world(pages, thp, migrate_pages_batch=batched)
    sim.move_pages(tasks[0], region, 1)
    assert ops(sim, Op.WALK_FLUSH) == walks
    assert ops(sim, Op.FLUSH) == sim.total("tlb_flushes")


def mapped_ns(sim):
    """Return how long calls have had mmap_lock."""
    return ops(sim, Op.READ_CALL_NS) + ops(sim, Op.WRITE_CALL_NS)


def flushed(sim):
    """Return (flushes, interrupts, ns of migrations) so far."""
    spent = int(sim.spent[:, Cause.MIGRATION].sum())
    return sim.total("tlb_flushes"), received(sim), spent


def hinted(balancing, thp="never", mechanism=Mechanism.HINTING):
    """Let task 0 go to node 1 and touch memory that it has marked."""
    sim, tasks, region = world(512, thp, balancing=balancing, swap_bytes=4 * MIB)
    sim.mark(tasks[0], region, mechanism)
    sim.move_task(tasks[0], 4)
    before = flushed(sim)
    sim.run([Sweep(task=tasks[0], region=region, count=8, refs=1)])
    new = (b - a for a, b in zip(before, flushed(sim), strict=True))
    return sim.total("pgmigrate_success"), *new


@pytest.mark.parametrize("mode", ["off", "normal"])
def test_a_hint_fault_flushed_what_it_moved_until_5_12(mode):
    knobs = dict(mode=mode, filter="none")
    assert hinted(Balancing(**knobs)) == (8, 0, 0, 8 * MIGRATION)
    knobs["hint_flush"] = True
    want = 8, 8, 24, 8 * (MIGRATION + FLUSH)
    assert hinted(Balancing(**knobs)) == want


def test_huge_and_parked_pages_are_in_no_tlb():
    """A PMD entry stays inaccessible until the move; a parked page is unmapped."""
    knobs = Balancing(hint_flush=True)
    assert hinted(knobs, "always")[:3] == (512, 0, 0)
    for mechanism in (Mechanism.SWAPCACHE, Mechanism.MIGCACHE):
        got = hinted(knobs, mechanism=mechanism)
        assert got[1:3] == (0, 0) and got[0] > 0


def test_profiles_to_5_12_map_first():
    first = {name for name, rules in PROFILES.items() if rules.balancing.hint_flush}
    assert {"linux-3.8", "linux-3.13"} <= first
    assert not first & {"linux-6.1", "linux-6.12"} and not Balancing().hint_flush


def test_locks_of_a_page_last_as_long_as_its_flush():
    """Two walks of 300 ns, and the flush if the walk does it."""
    table, names = tables(Locks()), [row.name for row in ROWS]
    anon, pte = names.index("anon_vma"), names.index("pte_lock")
    for lock in (anon, pte):
        assert table["flush"][lock, :, Op.WALK_FLUSH].sum() == 1_000_000
        assert table["flush"][lock, :, Op.MIGRATE].sum() == 0
    assert table["hold"][anon, :, Op.MIGRATE].sum() == 600_000
    # A round of interrupts is one round, whoever asks for it.
    flush = names.index("tlb_flush")
    assert table["acquire"][flush, :, Op.FLUSH].sum() == 1_000_000
    for op in (Op.MIGRATE, Op.MIGRATE_HUGE, Op.WALK_FLUSH):
        assert table["acquire"][flush, :, op].sum() == 0


CALLS = {
    "mbind": lambda sim, task, region: sim.mbind(
        task, region, Policy(Mode.BIND, (1,)), move=True
    ),
    "move_pages": lambda sim, task, region: sim.move_pages(task, region, 1),
    "migrate_pages": lambda sim, task, region: sim.migrate_pages(task, [0], [1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_moves_pages_first_drains_the_lru_of_all_cpus(name):
    """Of 62.47 us for one page alone (Zi Yan) 59 are that."""
    sim, tasks, region = world(1)
    before, held = sim.clock(tasks[0]), mapped_ns(sim)
    CALLS[name](sim, tasks[0], region)
    own = 500 + MIGRATION + FLUSH
    assert sim.clock(tasks[0]) - before == 59_000 + own
    # mmap_lock is taken after that.
    assert mapped_ns(sim) - held == own


def test_a_call_that_moves_nothing_drains_nothing():
    sim, tasks, region = world(1)
    before = sim.clock(tasks[0])
    sim.mbind(tasks[0], region, Policy(Mode.BIND, (1,)))
    assert sim.clock(tasks[0]) - before == 500
