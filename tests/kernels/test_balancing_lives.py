"""What the scanner and hint faults know, through forks, cuts, collapses and shards.

Written from fork, split_vma, collapse and swap of Linux 6.12 and
``docs/model/balancing.md``.
Nodes have two CPUs: node n has 2n and 2n + 1.
"""

from dataclasses import replace

import numpy as np
import pytest

from common.numa_world import BLOCK, FREE, HUGE, MS, World
from lazynuma.engine import (
    Balancing,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Uniform,
    preset,
    uniform,
)
from lazynuma.engine.machines.machine import from_slit
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.words import PTE_PROTNONE

REFS = 462


def scanning(**options):
    """Return a world that scans everything every 12 ms from 11 ms on."""
    knobs = {"scan_delay_ms": 10, "scan_size_mb": 16, "scan_period_min_ms": 10}
    w = World(scan_period_max_ms=1000, **(knobs | options))
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    return w


def work(w, ms, by=None):
    """Let a task use one page at home for some ms."""
    w.touch(w.scrap, by=by, refs=REFS, count=ms * MS // (108 * REFS) + 1)


# --- VMAs --------------------------------------------------------------------------


def state_of(w, vma):
    """Return a VMA's row of the scanner."""
    return w.memory.numab[vma.numab].tolist()


def test_the_part_that_changes_keeps_what_the_scanner_knows():
    """vma_modify: the parts before and behind it are new, without a numab_state."""
    w = scanning()
    region = w.map(64)
    w.place(region, 1)
    work(w, 13)
    vma = w.process.vmas[1]
    known = state_of(w, vma)
    assert known[st.Numab.MET] == 1 and known[st.Numab.NEXT_SCAN] == 21
    w.sim.mprotect(w.task, region, "r", first=16, pages=16)
    parts = w.process.vmas[1:]
    assert [part.end - part.start for part in parts] == [16, 16, 32]
    w.sim.scan_state(w.process)  # the new parts get rows
    states = [state_of(w, part) for part in parts]
    assert states == [[0] * 7, known, [0] * 7]


def test_new_parts_wait_for_the_delay():
    w = scanning(scan_delay_ms=20)
    region = w.map(64)
    w.place(region, 1)
    # At 21; then the parts are met at 33, with 53 in mind: scanned at 57.
    work(w, 22)
    assert w.marked(region) == 64
    w.sim.mprotect(w.task, region, "r", first=16, pages=48)
    first = region.first + region.process.delta
    w.memory.pte[first : first + 64] &= ~PTE_PROTNONE
    work(w, 24)
    assert (w.marked(region, 0, 16), w.marked(region, 16, 48)) == (0, 48)
    work(w, 12)
    assert w.marked(region) == 64


def test_a_child_begins_anew():
    w = scanning()
    region = w.map(64)
    w.place(region, 1)
    work(w, 13)
    assert w.sim.scan_state(w.process)[0] == 1
    child = w.sim.fork(w.process)
    task = w.sim.start_task(child, 0)
    now = w.sim.now // MS
    assert w.sim.scan_state(child) == (0, 0, now + 10)
    assert [state_of(w, vma) for vma in child.vmas] == [[0] * 7] * 2
    found = w.sim.numa(task)
    assert (found.stamp_ns, found.period_ms, found.group) == (0, 10, -1)
    # Marks are inherited with the entries.
    assert [w.page(region, at, child).protnone for at in range(64)] == [True] * 64


def test_two_processes_scan_on_their_own():
    w = scanning(nodes=2)
    other = w.sim.spawn(nbytes=16 * HUGE)
    task = w.sim.start_task(other, 1)
    mine, theirs = w.map(64), w.map(64, other)
    w.place(mine, 1)
    w.place(theirs, 1, by=task)
    work(w, 13)
    assert w.marked(mine) == 64 and w.marked(theirs) == 0
    assert w.sim.scan_state(other) == (0, 0, 10)


# --- what becomes of the last fault ------------------------------------------------


def test_a_collapse_forgets_the_last_faults():
    """alloc_charge_folio: a new folio has none."""
    w = World(thp="madvise")
    region = w.map(BLOCK)
    w.place(region, 0)
    for at in (0, 7, 511):
        w.set_last(region, (1, 2), at)
    w.sim.advise(w.task, region, "hugepage")
    assert w.sim.collapse(w.task, region) == 0
    assert w.page(region).pmd and w.last(region) is None
    # ... and in the frames that it left.
    again = w.map(BLOCK)
    w.place(again, 0)
    assert {w.last(again, at) for at in range(BLOCK)} == {None}


def test_the_frames_of_a_folio_that_is_gone_begin_anew():
    w = World(thp="always")
    region = w.map(BLOCK)
    w.place(region, 0)
    block = w.page(region).frame // BLOCK
    w.set_last(region, (1, 2))
    w.sim.munmap(w.task, region)
    again = w.map(BLOCK)
    w.place(again, 0)
    assert w.page(again).frame // BLOCK == block and w.last(again) is None
    w.set_last(again, (1, 2))
    w.sim.munmap(w.task, again)
    small = w.map(BLOCK)
    w.sim.advise(w.task, small, "nohugepage")
    w.place(small, 0)
    assert w.page(small).frame // BLOCK == block
    assert {w.last(small, at) for at in range(BLOCK)} == {None}


def test_frames_of_small_pages_do_not_spoil_a_folio():
    w = World(thp="always")
    small = w.map(BLOCK)
    w.sim.advise(w.task, small, "nohugepage")
    w.place(small, 0)
    block = w.page(small).frame // BLOCK
    for at in range(BLOCK):
        w.set_last(small, (1, 2), at)
    w.sim.munmap(w.task, small)
    region = w.map(BLOCK)
    w.place(region, 0)
    assert w.page(region).frame // BLOCK == block and w.last(region) is None


def test_a_pmd_split_shares_the_folio_s_word():
    """The folio is whole still: PTEs map it, and hint faults leave it alone (10.2)."""
    w = World(thp="always")
    region = w.map(BLOCK)
    w.place(region, 0)
    w.set_last(region, (77, 3))
    child = w.sim.fork(w.process)
    w.sim.munmap(w.task, region, 0, 1)
    assert w.page(region, 5).huge and not w.page(region, 5).pmd
    w.hint(region, 5)
    w.touch(region, 5, cpu=2, write=False)
    assert (w.page(region, 5).node, w.refused()) == (0, {"PTE_MAPPED_THP": 1})
    assert w.last(region, 9) == (77, 3)
    assert w.page(region, 0, child).pmd


def test_a_lazy_migration_keeps_the_last_fault():
    w = World(swap_bytes=HUGE)
    region = w.map(1)
    w.place(region, 0)
    w.set_last(region, (77, 3))
    w.sim.mark(w.task, region, Mechanism.SWAPCACHE)
    w.touch(region, cpu=2)
    assert (w.page(region).node, w.last(region)) == (1, (77, 3))


def test_mbind_across_tiers_forgets_and_within_one_keeps():
    w = World(machine=preset("dram-cxl", "1G"), mode="both", span=HUGE)
    region = w.map(1)
    w.sim.populate(w.task, region)
    w.set_last(region, (1, 0))
    w.sim.move_pages(w.task, region, 1)
    assert w.last(region) == (1, 0)
    w.sim.move_pages(w.task, region, 2)
    assert w.last(region) is None
    w.set_word(region, 500)
    w.sim.move_pages(w.task, region, 0)
    assert w.last(region) is None


# --- tasks that compare ------------------------------------------------------------


def swap_world(mem, preferred, groups=None, cpus=(0, 2, 3), nodes=2):
    """Return a world after the placement of task 0, of whose memory node 1 has most.

    ``mem``: each task's private faults of nodes 0 and 1, of 1000.
    """
    w = World(cpus=cpus, nodes=nodes)
    for task, pages, node in zip(w.tasks, mem, preferred, strict=True):
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, :2, 1] = pages
        w.set(task, total=sum(pages), preferred=node, counted=1)
    for number, members in (groups or {}).items():
        tasks = [w.tasks[n] for n in members]
        shares = [(0, int(sum(mem[n][node] for n in members))) for node in (0, 1)]
        w.group(number, tasks, mem=shares + [(0, 0)] * (nodes - 2))
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(100)
    return [task.cpu for task in w.tasks]


def test_a_partner_that_gains_an_eighth_is_better():
    """Both give 500 of 1000; the second wants to node 0: 62 more, at least 16 count."""
    half = (250, 750)
    mem = [half, (500, 500), (500, 500)]
    assert swap_world(mem, (1, -1, -1)) == [2, 0, 3]
    assert swap_world(mem, (1, -1, 0)) == [3, 2, 0]


def test_a_partner_must_be_15_better_than_the_first():
    """imp 500 of the first; 515 is not more than 500 + 15, 516 is (4 of them each)."""
    first = (250, 750)
    # 500 + 2 x for (500 + x, 500 - x).
    assert swap_world([first, (500, 500), (507, 493)], (1, -1, -1)) == [2, 0, 3]
    assert swap_world([first, (500, 500), (508, 492)], (1, -1, -1)) == [3, 2, 0]


def test_within_a_group_a_swap_is_worth_a_sixteenth_less():
    """31 - 31 / 16 is 30 and enough; 30 less 1 is 29 and not; without a group 30 is."""

    def swaps(gain, groups):
        # 4 x, by task 0 alone: node 1 has 500 + x; the partner makes up for the rest.
        mem = [(485, 515), (500, 500), (500, 500)]
        mem[1] = (500 + (gain - 30) // 2, 500 - (gain - 30) // 2)
        return swap_world(mem, (1, -1, -1), groups) == [2, 0, 3]

    # Gains of an even number: 30, 32.  30 - 1 = 29; 32 - 2 = 30.
    assert swaps(30, None)
    assert not swaps(30, {0: (0, 1, 2)})
    assert swaps(32, {0: (0, 1, 2)})


def test_between_groups_the_groups_weights_count():
    """Task 0's group is all for node 1 (+1000); the others' group is for node 0.

    Its own task weights are of no account then.
    """
    mem = [(0, 1000), (0, 1000), (1000, 0)]
    # Group 1: half and half: 1000 + 0 is worth it, CPU 2 is the first.
    groups = {0: (0,), 1: (1, 2)}
    assert swap_world(mem, (1, -1, -1), groups) == [2, 0, 3]
    # By themselves CPU 2 loses 1000, CPU 3 gains 1000.
    assert swap_world(mem, (1, -1, -1), {0: (0,)}) == [3, 2, 0]


def test_nodes_that_are_worse_are_not_tried():
    """Node 1 is full and content; on node 2 the task has less than at home."""
    w = World(cpus=(0, 2, 3))
    mem = [(300, 400, 200), (0, 1000, 0), (0, 1000, 0)]
    for task, pages in zip(w.tasks, mem, strict=True):
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, :, 1] = pages
        w.set(task, total=sum(pages), preferred=1, counted=1)
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    # Without a group groupimp is 0, so that Linux tries node 2 all the same.
    w.end_quantum(100)
    assert w.task.cpu == 4
    w = World(cpus=(0, 2, 3))
    for task, pages in zip(w.tasks, mem, strict=True):
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, :, 1] = pages
        w.set(task, total=sum(pages), preferred=1, counted=1)
    w.group(0, [w.task], mem=[(0, 300), (0, 400), (0, 200)])
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(100)
    assert w.task.cpu == 0


# --- shards ------------------------------------------------------------------------


def sharded(threads, batch, sequential=False, **knobs):
    """Return a simulation of four tasks on four nodes that was run with balancing."""
    options = {
        "mode": "normal",
        "scan_delay_ms": 5,
        "scan_size_mb": 4,
        "scan_period_min_ms": 5,
        "scan_period_max_ms": 200,
        "tick_ns": MS,
    }
    settings = Settings(
        shards=1 if sequential else 8,
        sequential=sequential,
        quantum_ns=2 * MS,
        thp=Thp(enabled="always"),
        balancing=Balancing(**(options | knobs)),
    )
    machine = uniform(4, 24 * HUGE, 2)
    sim = Simulation(machine, settings, threads=threads, batch=batch)
    process = sim.spawn(nbytes=64 * HUGE)
    tasks = [sim.start_task(process, cpu) for cpu in (0, 2, 4, 6)]
    shared = sim.mmap(process, 4 * HUGE)
    own = [sim.mmap(process, 2 * HUGE) for _ in tasks]
    sim.advise(tasks[0], own[0], "nohugepage")
    sim.advise(tasks[0], shared, "nohugepage", 0, BLOCK)
    sim.populate(tasks[0], shared)
    for region in own:
        sim.populate(tasks[0], region)
    for round_ in range(2):
        region_of = [shared if n % 2 == round_ else own[n] for n in range(4)]
        loads = [
            Uniform(task=task, region=region, count=1500, refs=100)
            for task, region in zip(tasks, region_of, strict=True)
        ]
        sim.run(loads)
    return sim


def digest(sim):
    """Return all that a run says."""
    return (
        sim.counters().tolist(),
        sim.refusals().tolist(),
        sim.scan_skips().tolist(),
        [list(sim.numa(task)[:-1]) for task in sim.tasks],
        [sim.numa(task).faults.tolist() for task in sim.tasks],
        [task.cpu for task in sim.tasks],
        [sim.clock(task) for task in sim.tasks],
        sim.memory.numab.tolist(),
    )


KNOBS = [
    {},
    {"migrate_rate_limit_mbps": 20, "filter": "last_nid"},
    {"local_last_cpupid": True, "vma_pids": False, "groups": False},
]


@pytest.mark.parametrize("knobs", KNOBS)
def test_threads_and_batches_change_nothing(knobs):
    once = sharded(1, 1 << 20, **knobs)
    once.check()
    assert once.total("numa_hint_faults") > 0
    assert once.total("numa_pages_migrated") > 0
    assert digest(sharded(3, 97, **knobs)) == digest(once)


def in_one_shard(pages, slow=False, spare=None, **knobs):
    """Let a task fault on pages of one block in a shard of 8, and return the world.

    Quanta have 4, 4, 8, 16, 32 ... accesses: as many as there were before.
    """
    sizes, cpus = (64 * HUGE,) * 3, (1, 1, 0) if slow else (1, 1, 1)
    slit = [[10, 20, 30], [20, 10, 40], [30, 40, 10]]
    machine = from_slit("three", sizes, cpus, slit, (0, 0, 0))
    machine = replace(machine, tier=(0, 0, int(slow)))
    w = World(machine=machine, shards=8, quantum_ns=50 * MS, **knobs)
    region = w.map(pages)
    w.sim.populate(w.task, region)
    w.sim.move_pages(w.task, region, 2)
    if spare is not None:
        filler = w.map(64 * BLOCK)
        w.sim.mbind(w.task, filler, Policy(Mode.BIND, (0,)))
        mark = int(w.memory.node[0, st.Node.HIGH]) + spare
        w.sim.populate(w.task, filler, 0, w.sim.free(0) - mark)
    w.hint(region, 0, pages)
    for page in range(pages if slow else 0):
        w.set_word(region, 1, page)
    w.touch(region, 0, pages)
    assert w.counts("numa_hint_faults") == [pages]
    return w, [1 - node // 2 for node in w.nodes(region)]


def test_the_limit_of_3_8_in_a_shard():
    """25 pages: what the quantum began with, and 8 for each of the shard's own.

    0, 8, 16, 24; 4, 12, 20; 7, 15, 23; 10, 18; 12, 20 were not more than 25.
    """
    w, moved = in_one_shard(40, migrate_rate_limit_mbps=1, filter="none")
    quanta = [(4, 4), (3, 4), (3, 8), (2, 16), (2, 8)]
    expected = [int(n < count) for count, size in quanta for n in range(size)]
    assert moved == expected
    assert w.refused() == {"RATE_LIMIT": 40 - 14}


def test_the_promotion_limit_in_a_shard():
    """256 candidates: 32 + 8 * 28, then 64 + 8 * 24 are as many as that."""
    w, moved = in_one_shard(128, True, mode="both", promote_rate_limit_mbps=1)
    quanta = [(32, 32), (27, 32), (23, 64)]
    expected = [int(n < count) for count, size in quanta for n in range(size)]
    assert moved == expected
    names = "pgpromote_candidate", "pgpromote_success"
    assert w.counts(*names) == [128, 82]


def test_a_fault_that_is_set_aside_is_one_candidate():
    """A shard's allotment is small where a node is full: the rest is serial.

    While more than high + 1 are free pages come; the others fail.
    """
    w, moved = in_one_shard(40, True, spare=17, mode="both")
    assert sum(moved) == 16
    assert w.counts("pgpromote_candidate", "pgpromote_success") == [40, 16]
    assert w.refused() == {"TARGET_FULL": 24}
    seen = w.sim.numa(w.task)
    # Failures on slow memory are not counted.
    assert (seen.remote, seen.local, seen.failed) == (16, 0, 0)


def test_a_scan_empties_the_tlbs():
    """One miss at first, and one after each scan that marked something."""
    w = scanning(scan_size_mb=1, scan_period_min_ms=170, tlb=True)
    region = w.map(8 * BLOCK)
    w.place(region, 1)
    before = w.counts("tlb_misses_4k")[0]
    work(w, 25)
    assert len(w.watch.scans) == 2
    assert w.counts("tlb_misses_4k")[0] - before == 3


@pytest.mark.parametrize("mode", ["normal", "both"])
def test_counters_agree_with_each_other(mode):
    for sequential in (True, False):
        sim = sharded(1, 1 << 20, sequential, mode=mode)
        sim.check()
        faults, local = (
            sim.total("numa_hint_faults"),
            sim.total("numa_hint_faults_local"),
        )
        assert 0 <= local <= faults <= sim.total("numa_pte_updates")
        moved = sim.total("numa_pages_migrated")
        assert 0 < moved <= sim.total("pgmigrate_success") == sim.total("pages_moved")
        assert sim.total("pages_paid") <= moved
        assert sim.total("pages_moved_back") <= moved
        assert sim.total("numa_huge_pte_updates") * 512 <= sim.total("numa_pte_updates")
        # Task statistics are never negative, and their sums are what they should be.
        for task in sim.tasks:
            seen = sim.numa(task)
            assert (seen.faults >= 0).all()
            assert seen.total == seen.faults[st.NumaFaults.MEM].sum()
        groups = {sim.numa(task).group for task in sim.tasks} - {-1}
        for number in groups:
            members = [t for t in sim.tasks if sim.numa(t).group == number]
            group = sim.numa_group(number)
            assert group.tasks == len(members)
            sums = sum(sim.numa(t).faults[: st.NumaFaults.CPU + 1] for t in members)
            assert np.array_equal(group.faults, sums)
            assert group.total == group.faults[st.NumaFaults.MEM].sum()


def test_a_single_private_task_makes_all_of_its_memory_local():
    for sequential in (True, False):
        settings = Settings(
            sequential=sequential,
            quantum_ns=2 * MS,
            balancing=Balancing(
                mode="normal",
                scan_delay_ms=5,
                scan_size_mb=4,
                scan_period_min_ms=5,
                tick_ns=MS,
                placement=False,
            ),
        )
        sim = Simulation(uniform(2, 24 * HUGE, 1), settings, FREE)
        process = sim.spawn(nbytes=16 * HUGE)
        task = sim.start_task(process, 1)
        region = sim.mmap(process, 2 * HUGE)
        sim.populate(task, region)
        sim.move_task(task, 0)
        sim.run([Sweep(task=task, region=region, count=20_000, refs=64)])
        assert sim.counters()[0, Vm.NUMA_PAGES_MIGRATED] == 2 * BLOCK
        assert sim.total("pages_paid") == 2 * BLOCK
        assert sim.total("pages_moved_back") == 0
        assert sim.summary()["local_fraction_end"] == 1
        assert 0 < sim.summary()["converged_ns"] < sim.now


def test_memory_bound_elsewhere_stays_and_costs_no_hint_faults():
    w = scanning()
    region = w.map(64)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (1,)))
    w.sim.populate(w.task, region)
    w.touch(region, 0, 64, refs=REFS, count=500)
    assert set(w.nodes(region)) == {1}
    assert w.counts("numa_hint_faults", "numa_pte_updates") == [0, 0]
