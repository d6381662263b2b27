"""Locks: the queues against a discrete-event simulation, their use, their settings.

That the engine waits as the slow model does is part of the stories of
``test_against_reference.py``.
"""

import heapq
import random
from dataclasses import replace
from functools import cache

import h5py
import numpy as np
import pytest

from common.kernel_parts import from_python
from common.studies import study_of
from lazynuma.engine import (
    BadInput,
    Costs,
    Khugepaged,
    Locks,
    Settings,
    Simulation,
    Sweep,
    Thp,
    uniform,
)
from lazynuma.engine.quantum.lock_windows import tables
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.locks import ROWS, used
from lazynuma.engine.settings.parameters import override, split_settings
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels.counters import Cause, Op
from lazynuma.kernels.quantum import lock_wait as lw
from lazynuma.kernels.state import Task
from lazynuma.scenarios.cli import commands

MIB = 1 << 20

settle_chain = from_python(lw.settle_chain)


# --- a discrete-event simulation of one lock ------------------------------------------


class Customer:
    """A task: mean hold and mean time between two holds, ns; whether it only reads."""

    def __init__(self, share, hold=1000.0, reads=False):
        self.hold, self.reads = hold, reads
        self.think = hold * (1 - share) / share


def simulated(customers, objects=1, events=150_000):
    """Return the mean wait of each customer, ns: first come, first served."""
    rng = random.Random(7)
    waited, taken = [0.0] * len(customers), [0] * len(customers)
    queues = [[] for _ in range(objects)]
    inside = [[0, 0] for _ in range(objects)]  # readers, writers
    after = rng.expovariate
    soon = [(after(1 / c.think), 0, i, 0) for i, c in enumerate(customers)]
    heapq.heapify(soon)
    for _ in range(events):
        now, leaves, i, at = heapq.heappop(soon)
        if leaves:
            inside[at][not customers[i].reads] -= 1
            heapq.heappush(soon, (now + after(1 / customers[i].think), 0, i, 0))
        else:
            at = rng.randrange(objects)
            queues[at].append((now, i))
        while queues[at]:
            came, j = queues[at][0]
            readers, writers = inside[at]
            if writers or (readers and not customers[j].reads):
                break
            queues[at].pop(0)
            inside[at][not customers[j].reads] += 1
            waited[j] += now - came
            taken[j] += 1
            heapq.heappush(soon, (now + after(1 / customers[j].hold), 1, j, at))
    return [w / max(1, n) for w, n in zip(waited, taken, strict=True)]


@cache
def memory_of(tasks):
    """Return the state of a machine with so many tasks."""
    simulation = Simulation(uniform(1, 64 * MIB, tasks))
    process = simulation.spawn("job")
    for cpu in range(tasks):
        simulation.start_task(process, cpu)
    return simulation.memory


def expected(customers, objects=1, length=1e9):
    """Return the mean wait of each customer, ns, as the model has it."""
    n = len(customers)
    work = lw.LockWork(
        **{name: table[:1] for name, table in tables(Locks()).items()},
        began=np.zeros(n, np.int64),
        backlog=np.zeros((0, len(Op))),
        stats=np.zeros((1, len(lw.LockStat))),
        waited=np.zeros((n, 1), np.int64),
        work=np.zeros((0, len(Op))),
        worker=np.zeros(0, np.int64),
        some=np.zeros(n, np.int64),
        share=np.zeros((2, 1)),
        asked=np.zeros(1),
        head=np.zeros(1, np.int64),
        next=np.array([*range(1, n), -1]),
        held=np.zeros((2, n)),
        taken=np.zeros((2, n)),
        of=np.zeros(n, np.int64),
        classes=np.zeros((len(lw.Of), lw.CLASSES)),
        loss=np.zeros((lw.CLASSES, lw.CLASSES)),
        less=np.zeros((lw.CLASSES, lw.CLASSES)),
    )
    for i, c in enumerate(customers):
        mode = lw.READ if c.reads else lw.WRITE
        work.taken[mode, i] = length / (c.hold + c.think)
        work.held[mode, i] = work.taken[mode, i] * c.hold
    settle_chain(memory_of(n), work, 0, 0, length, objects)
    return work.waited[:, 0] / work.taken.sum(axis=0)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9, 1.5, 4.0])
@pytest.mark.parametrize("tasks", [2, 8, 32])
def test_waits_are_those_of_a_queue(tasks, load):
    alike = [Customer(min(load / tasks, 0.95))] * tasks
    assert np.mean(expected(alike)) == pytest.approx(np.mean(simulated(alike)), rel=0.1)


@pytest.mark.parametrize("objects", [4, 16])
def test_tasks_that_spread_over_locks_meet_less(objects):
    alike = [Customer(0.5)] * 16
    got = np.mean(expected(alike, objects))
    assert got == pytest.approx(np.mean(simulated(alike, objects)), rel=0.1)


@pytest.mark.parametrize("seed", [3, 4])
def test_tasks_that_use_a_lock_unlike(seed):
    rng = random.Random(seed)
    unlike = [Customer(10 ** rng.uniform(-2, -0.3)) for _ in range(24)]
    got, want = expected(unlike), simulated(unlike, events=400_000)
    assert got == pytest.approx(want, rel=0.12)


#: Readers and writers that are alike: (how many, share of their time, hold in ns).
RWS = [
    ((8, 0.2, 1000), (1, 0.1, 1000)),
    ((32, 0.3, 1000), (1, 0.2, 5000)),
    ((48, 0.02, 1000), (1, 0.4, 5000)),
    # As many writers as readers, with little to do and with too much.
    ((8, 0.1, 1000), (8, 0.01, 1000)),
    ((16, 0.3, 1000), (16, 0.3, 1000)),
    # A daemon that seldom comes and stays long.
    ((16, 0.2, 1000), (1, 0.05, 50_000)),
]


def means(groups, objects=1):
    """Return (mean wait in the model, mean wait in the simulation) of each group."""
    every = [one for group in groups for one in group]
    got, want = (f(every, objects) for f in (expected, half_a_million))
    found, at = [], 0
    for group in groups:
        part = slice(at, at + len(group))
        found.append((np.mean(got[part]), np.mean(want[part])))
        at += len(group)
    return found


def half_a_million(customers, objects):
    return simulated(customers, objects, events=500_000)


@pytest.mark.parametrize(("readers", "writers"), RWS)
def test_writers_wait_for_readers_and_these_for_them(readers, writers):
    groups = [
        [Customer(share, hold, reads=reads)] * count
        for (count, share, hold), reads in ((readers, True), (writers, False))
    ]
    for got, want in means(groups):
        assert got == pytest.approx(want, rel=0.12)


def test_readers_and_writers_that_spread_over_locks():
    groups = [Customer(0.3, reads=True)] * 32, [Customer(0.1)] * 8
    for got, want in means(groups, 8):
        assert got == pytest.approx(want, rel=0.2)
    groups = [Customer(0.5)] * 16, [Customer(0.3, 5000)] * 2
    for got, want in means(groups, 8):
        assert got == pytest.approx(want, rel=0.2)


def test_a_daemon_and_calls_make_readers_wait_no_shorter():
    """What the model has wrong: readers meet the long holds too often."""
    groups = (
        [Customer(0.2, reads=True)] * 16,
        [Customer(0.004, 2000)] * 8,
        [Customer(0.05, 20_000)],
    )
    (read, read_want), *writers = means(groups)
    assert read_want * 0.9 < read < read_want * 2
    for got, want in writers:
        assert got == pytest.approx(want, rel=0.1)


def test_readers_alone_do_not_wait():
    assert not expected([Customer(0.9, reads=True)] * 40).any()


@pytest.mark.parametrize("share", [1e-4, 0.3, 0.999])
def test_no_wait_is_longer_than_a_hold_of_each_other(share):
    assert (expected([Customer(share)] * 50) <= 49 * 1000 * (1 + 1e-9)).all()


# --- in a simulation ------------------------------------------------------------------


def toiled(locks, tasks=8, threads=1, batch=1 << 20, quantum_ns=2_000_000, pause=None):
    """Return a simulation in which tasks of one process touched memory of their own."""
    settings = Settings(locks=locks, quantum_ns=quantum_ns)
    machine = uniform(2, 256 * MIB, tasks // 2)
    simulation = Simulation(machine, settings, threads=threads, batch=batch)
    simulation.pause = pause and (lambda where: pause(simulation))
    process = simulation.spawn("job")
    ones = [simulation.start_task(process, cpu) for cpu in range(tasks)]
    region = simulation.mmap(process, 64 * MIB)
    part = region.pages // tasks
    simulation.run(
        [
            Sweep(
                task=task, region=region, first=i * part, pages=part, count=part, refs=1
            )
            for i, task in enumerate(ones)
        ]
    )
    return simulation


NOISY = Locks(enabled=True, pte_lock_scope="mm", pte_lock_hold_ns=500)


@pytest.mark.parametrize("hold_ns", [50, 500, 3000])
def test_waits_of_a_steady_load_settle(hold_ns):
    """They do at once, and the length of a quantum does not matter."""
    locks = Locks(enabled=True, pte_lock_scope="mm", pte_lock_hold_ns=hold_ns)
    locks = replace(locks, mmap_count_scope="none")
    per_fault = []
    for quantum_ns in (400_000, 1_000_000, 4_000_000):
        seen = []

        def note(simulation, seen=seen):
            waited = int(simulation.locks.stats[:, lw.LockStat.WAIT].sum())
            seen.append((waited, simulation.total("pgfault")))

        toiled(locks, quantum_ns=quantum_ns, pause=note)
        steps = np.diff(np.array([(0, 0), *seen]), axis=0)
        whole = steps[3:-2]  # the first are short, in the last not all work
        rates = whole[:, 0] / whole[:, 1]
        assert rates == pytest.approx(rates.mean(), rel=0.02)
        per_fault.append(rates.mean())
    assert per_fault == pytest.approx([per_fault[0]] * 3, rel=0.02)


def test_a_lock_for_all_page_tables_makes_faults_wait():
    quiet, noisy = toiled(Locks(enabled=False)), toiled(NOISY)
    split = toiled(Locks(enabled=True, pte_lock_hold_ns=500))
    waits = [one.summary()["lock_wait_ns"] for one in (quiet, split, noisy)]
    assert waits[0] == 0 and waits[1] < waits[2] / 5
    faults = noisy.total("pgfault")
    # Eight tasks that hold it half of their time: each waits for more than two others.
    assert 2 * 500 < waits[2] / faults < 7 * 500


def test_locks_that_are_off_change_nothing():
    off = toiled(replace(NOISY, enabled=False)).summary()
    for name, value in toiled(Locks(enabled=False)).summary().items():
        np.testing.assert_equal(off[name], value, err_msg=name)


def test_waits_do_not_hang_on_threads_or_batches():
    want = toiled(NOISY)
    got = toiled(NOISY, threads=2, batch=1000)
    assert (got.spent == want.spent).all()
    clocks = [one.memory.task[:, Task.CLOCK] for one in (got, want)]
    assert (clocks[0] == clocks[1]).all()


def test_calls_side_by_side_wait_for_each_other():
    simulation = toiled(Locks(enabled=True))
    process = simulation.processes[0]
    region = simulation.mmap(process, 8 * MIB)
    simulation.synchronize()
    before = simulation.spent[:, Cause.LOCK_SLEEP].copy()
    for task in simulation.tasks:
        simulation.mprotect(task, region, "r")
    simulation.synchronize()
    waited = simulation.spent[:, Cause.LOCK_SLEEP] - before
    alone = simulation.costs.syscall_ns
    assert (waited > alone).all()


def test_a_flush_interrupts_who_works():
    """One task of five flushes twice, three work, one and another process do not."""

    def spun(interrupts):
        locks = Locks(
            enabled=True, tlb_flush_hold_ns=1500, tlb_flush_interrupts=interrupts
        )
        simulation = Simulation(uniform(1, 64 * MIB, 8), Settings(locks=locks))
        process, other = simulation.spawn("job"), simulation.spawn("other")
        tasks = [simulation.start_task(process, cpu) for cpu in range(5)]
        tasks.append(simulation.start_task(other, 5))
        region = simulation.mmap(process, MIB)
        theirs = simulation.mmap(other, MIB)
        for task in tasks[:4]:
            simulation.populate(task, region)
        simulation.populate(tasks[5], theirs)
        simulation.synchronize()
        before = simulation.spent[:, Cause.LOCK_SPIN].copy()
        simulation.mprotect(tasks[0], region, "r")
        simulation.mprotect(tasks[0], region, "rw")
        for task in tasks[1:4]:
            simulation.madvise(task, region, "populate_read")
        simulation.synchronize()
        return (simulation.spent[:, Cause.LOCK_SPIN] - before).tolist()

    gained = [a - b for a, b in zip(spun(True), spun(False), strict=True)]
    assert gained == [0, 3000, 3000, 3000, 0, 0]


def test_the_mutex_of_3_7_is_spun_on():
    names = [row.name for row in ROWS]
    for alone in (False, True):
        sleeps = tables(Locks(anon_vma_alone=alone))["sleeps"]
        assert sleeps[names.index("anon_vma")] == (not alone)
        assert sleeps[names.index("mmap_lock")] == 1


def waits_after(act):
    """Return what tasks wait for each lock as they touch memory after ``act``."""
    simulation = toiled(Locks(enabled=True), quantum_ns=5_000_000)
    act(simulation)
    simulation.synchronize()
    before = simulation.lock_waits()
    touch_more(simulation)
    return {name: ns - before[name] for name, ns in simulation.lock_waits().items()}


def touch_more(simulation):
    region = simulation.mmap(simulation.processes[0], 64 * MIB)
    part = region.pages // 8
    options = dict(region=region, pages=part, count=part, refs=1)
    tasks = simulation.tasks[:8]
    simulation.run(
        [Sweep(task=task, first=i * part, **options) for i, task in enumerate(tasks)]
    )


def fork(simulation):
    simulation.fork(simulation.processes[0])


def leave_memory(simulation):
    """Let a process that has 64 MiB of node 0 end."""
    process = simulation.spawn("other")
    task = simulation.start_task(process, 0)
    simulation.populate(task, simulation.mmap(process, 64 * MIB))
    simulation.synchronize()
    simulation.exit(process)


def test_a_fork_makes_faults_of_its_process_wait():
    idle, forked = waits_after(lambda simulation: None), waits_after(fork)
    copied = 64 * MIB // 4096 * Costs().fork_pte_ns + Costs().syscall_ns
    # Eight tasks meet it, each at most once.
    assert 2 * copied < forked["mmap_lock"] - idle["mmap_lock"] <= 8 * copied


def test_an_exit_makes_those_wait_that_allocate_on_its_nodes():
    idle, ended = waits_after(lambda simulation: None), waits_after(leave_memory)
    assert ended["zone_lock"] > 1.1 * idle["zone_lock"]
    assert ended["lru_lock"] > 1.1 * idle["lru_lock"]
    assert ended["pte_lock"] == pytest.approx(idle["pte_lock"], rel=0.01)


def test_nobody_waits_for_what_was_done_while_nobody_ran():
    def fork_and_idle(simulation):
        fork(simulation)
        simulation.idle(1_000_000_000)

    idle, forked = waits_after(lambda simulation: None), waits_after(fork_and_idle)
    assert forked["mmap_lock"] == idle["mmap_lock"]


def test_what_does_not_fit_in_a_window_is_done_in_the_next_ones():
    simulation = toiled(Locks(enabled=True), quantum_ns=100_000)
    simulation.fork(simulation.processes[0])
    seen = []

    def note(where):
        seen.append(simulation.locks.backlog[:, Op.WORK_NS].sum())

    simulation.pause = note
    touch_more(simulation)
    assert len(seen) > 20 and seen[3] > 100_000
    assert all(b < a or a == 0 for a, b in zip(seen[1:], seen[2:], strict=False))
    assert seen[-1] == 0


@pytest.mark.parametrize("advice", ["none", "hugepage"])
def test_khugepaged_makes_faults_wait(advice):
    settings = Settings(
        locks=Locks(enabled=True),
        quantum_ns=2_000_000,
        thp=Thp(enabled="madvise"),
        khugepaged=Khugepaged(scan_sleep_millisecs=1, pages_to_scan=4096),
    )
    simulation = Simulation(uniform(2, 256 * MIB, 4), settings)
    process = simulation.spawn("job")
    for cpu in range(8):
        simulation.start_task(process, cpu)
    region = simulation.mmap(process, 16 * MIB)
    simulation.populate(simulation.tasks[0], region)
    simulation.advise(simulation.tasks[0], region, advice)
    simulation.synchronize()
    before = simulation.lock_waits()["mmap_lock"]
    touch_more(simulation)
    waited = simulation.lock_waits()["mmap_lock"] - before
    assert simulation.pages_collapsed == (0 if advice == "none" else 8)
    if advice == "none":
        assert waited == 0
    else:
        assert waited > 8 * simulation.costs.collapse_ns
        row = [row.name for row in ROWS].index("mmap_lock")
        assert simulation.locks.stats[row, lw.LockStat.WORKERS_WAIT] > 0


def test_time_is_user_system_or_idle():
    row = toiled(NOISY).summary()
    whole = row["run_time_ns"] * 8
    parts = row["user_time_ns"] + row["system_time_ns"] + row["idle_time_ns"]
    assert parts == whole
    assert row["system_time_ns"] > row["lock_wait_ns"] > 0  # page-table locks spin


def touch(simulation):
    """Let one task touch 2 MiB."""
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 2 * MIB)
    simulation.run([Sweep(task=task, region=region, count=region.pages)])
    return {}


def test_the_file_has_a_row_for_each_lock(tmp_path):
    study = study_of("a", steps=touch)
    variant = study.variants[0]
    settings = replace(variant.settings, locks=Locks(enabled=True))
    study = replace(study, variants=(replace(variant, settings=settings),))
    path = tmp_path / "run.h5"
    run_study(study, output=path)
    with h5py.File(path) as file:
        table = {name: file["locks"][name][()] for name in file["locks"]}
    names = [b"".join(name).decode() for name in table["lock"]]
    assert names == [row.name for row in ROWS]
    faults = table["acquisitions"][[row.name for row in ROWS].index("mmap_lock")]
    assert faults > 0 and (table["waits"] <= table["acquisitions"]).all()


# --- settings -------------------------------------------------------------------------


def test_a_lock_is_set_by_its_name():
    settings = {"locks.enabled": True, "locks.zone_lock.scope": "global"}
    _, others = split_settings(Costs, Settings, settings)
    locks = override(Settings(), others).locks
    assert locks.enabled and locks.zone_lock_scope == "global"


def test_a_scope_that_there_is_not_is_refused_by_name():
    with pytest.raises(BadInput, match="zone_lock_scope must be one of none, global"):
        Locks(zone_lock_scope="socket")
    for hold in (0, 10**10 + 1):
        with pytest.raises(BadInput, match="locks.zone_lock_hold_ns must be"):
            Locks(zone_lock_hold_ns=hold)


@pytest.mark.parametrize("name", ["locks.inode_lock.scope", "locks.zone_lock.held"])
def test_a_lock_that_there_is_not_is_refused_with_those_that_there_are(name):
    with pytest.raises(
        BadInput, match=r"one of locks\.enabled, .*locks.zone_lock_scope"
    ):
        split_settings(Costs, Settings, {name: "mm"})


def test_holds_scale_with_the_lock():
    row = {row.name: row for row in ROWS}["zone_lock"]
    usual, twice = used(row, Locks()), used(row, Locks(zone_lock_hold_ns=6000))
    for op, use in usual.items():
        assert twice[op].ns == 2 * use.ns and twice[op].times == use.times


def test_profiles_have_the_locks_of_their_release():
    rows = {row.name: row for row in ROWS}
    old, new = (PROFILES[name].locks for name in ("linux-3.8", "linux-6.12"))
    assert old.pmd_lock_scope == "mm" and new.pmd_lock_scope == "page_table"
    assert Op.FAULT in used(rows["mmap_lock"], old)
    assert Op.FAULT not in used(rows["mmap_lock"], new)
    assert Op.WRITE_CALL in used(rows["mmap_lock"], new)


def test_rmap_walks_hold_their_lock_alone_before_3_8():
    row = {row.name: row for row in ROWS}["anon_vma"]
    for alone, mode in ((False, lw.READ), (True, lw.WRITE)):
        uses = used(row, Locks(anon_vma_alone=alone))
        assert {use.mode for op, use in uses.items() if op != Op.COLLAPSE} == {mode}
        assert uses[Op.COLLAPSE].mode == lw.WRITE


@pytest.mark.parametrize(
    ("lock", "batch", "default"), [("zone_lock", 63, 3000), ("lru_lock", 15, 750)]
)
def test_a_page_takes_its_part_of_a_batch(lock, batch, default):
    row = {row.name: row for row in ROWS}[lock]
    usual = used(row, Locks())[Op.FAULT]
    assert usual.times == pytest.approx(1 / batch)
    assert usual.ns == pytest.approx(default / batch)
    assert used(row, Locks())[Op.SWAP_IN] == usual


def test_batches_twice_as_large_are_taken_half_as_often_and_held_less_a_page():
    row = {row.name: row for row in ROWS}["zone_lock"]
    less, more = (used(row, Locks(zone_lock_batch=size))[Op.FAULT] for size in (31, 62))
    assert less.times == 2 * more.times
    # 300 ns of a batch of 63 that is held for 3000 ns do not hang on its size.
    assert more.ns == pytest.approx((300 + 2700 * 62 / 63) / 62)
    assert less.ns == pytest.approx((300 + 2700 * 31 / 63) / 31)


def test_pages_that_migrate_take_two_of_the_zone():
    row = {row.name: row for row in ROWS}["zone_lock"]
    uses = used(row, Locks())
    assert uses[Op.MIGRATE].ns == 2 * uses[Op.FAULT].ns
    assert uses[Op.HUGE_FAULT] == uses[Op.ZAP_HUGE] == (lw.WRITE, 1, 300, 0, 0)


def test_munmap_reads_its_lock_while_it_zaps_since_4_20():
    row = {row.name: row for row in ROWS}["mmap_lock"]
    new, old = (used(row, Locks(mmap_lock_downgrade=it)) for it in (True, False))
    assert new[Op.UNMAP_NS].mode == lw.READ and new[Op.UNMAP].times == 1
    assert old[Op.UNMAP_NS].mode == lw.WRITE and Op.UNMAP not in old


def test_faults_write_the_word_of_mmap_lock_until_they_read_that_of_a_vma():
    row = {row.name: row for row in ROWS}["mmap_count"]
    assert used(row, Locks())[Op.FAULT] == (lw.WRITE, 2, 100, 0, 0)
    assert Op.FAULT not in used(row, Locks(mmap_lock_vma=True))
    assert Op.SCAN in used(row, Locks(mmap_lock_vma=True))


@pytest.mark.parametrize(
    ("profile", "zone", "lru", "downgrade", "vma", "pmd", "alone"),
    [
        ("balancenuma-v4", 31, 14, False, False, "mm", True),
        ("linux-3.8", 31, 14, False, False, "mm", False),
        ("linux-3.13", 31, 14, False, False, "page_table", False),
        ("linux-6.1", 63, 15, True, False, "page_table", False),
        ("linux-6.4", 63, 15, True, True, "page_table", False),
        ("linux-6.12", 63, 31, True, True, "page_table", False),
    ],
)
def test_rows_by_release(profile, zone, lru, downgrade, vma, pmd, alone):
    locks = PROFILES[profile].locks
    assert (locks.zone_lock_batch, locks.lru_lock_batch) == (zone, lru)
    assert (locks.mmap_lock_downgrade, locks.mmap_lock_vma) == (downgrade, vma)
    assert (locks.pmd_lock_scope, locks.anon_vma_alone) == (pmd, alone)


@pytest.mark.parametrize(
    ("lock", "scope", "allowed"),
    [
        ("mmap_lock", "folio", "none, global, mm"),
        ("mmap_lock", "page_table", "none, global, mm"),
        ("anon_vma", "node", "none, global, mm, anon_vma"),
        ("folio_lock", "node", "none, global, mm, folio"),
        ("pte_lock", "folio", "none, global, mm, page_table"),
        ("zone_lock", "mm", "none, global, node"),
        ("lru_lock", "folio", "none, global, node, mm"),
        ("swap_lock", "mm", "none, global, node"),
        ("tlb_flush", "node", "none, global, mm"),
    ],
)
def test_a_scope_that_makes_no_sense_for_a_lock_is_refused(lock, scope, allowed):
    with pytest.raises(BadInput, match=f"locks.{lock}_scope must be one of {allowed},"):
        Locks(**{f"{lock}_scope": scope})


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("locks.mmap_lock.scope=folio", "mmap_lock_scope must be one of none, global"),
        ("locks.mmap_lock_hold_ns=0", "locks.mmap_lock_hold_ns must be from 1 to"),
        ("locks.zone_lock_hold_ns=-5", "locks.zone_lock_hold_ns must be from 1 to"),
        ("locks.zone_lock_batch=0", "locks.zone_lock_batch must be from 1 to 512"),
        ("locks.lru_lock_hold_ns=1.5", "lru_lock_hold_ns must be an integer"),
        ("locks.page_table_lock_scope=mm", "page_table_lock_scope"),
        ("locks.big_lock.scope=mm", "big_lock"),
    ],
)
def test_the_command_line_refuses_locks_that_make_no_sense(setting, text, capsys):
    assert commands.main(["run", "contention", "--set", setting]) == 2
    said = capsys.readouterr().err
    assert text in said and "Traceback" not in said
    if "big_lock" in setting or "page_table_lock" in setting:
        assert all(row.name in said for row in ROWS)


def test_one_task_that_reads_and_writes_does_not_wait_for_itself():
    machine = uniform(1, 64 << 20, cpus_per_node=2)
    simulation = Simulation(machine, Settings(locks=Locks(enabled=True)))
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    for _ in range(3):
        region = simulation.mmap(process, 8 << 20, task=task)
        simulation.run([Sweep(task=task, region=region, count=2048)])
        simulation.munmap(task, region)
    simulation.synchronize()
    assert simulation.summary()["lock_wait_ns"] == 0
    taken = dict(
        zip([row.name for row in ROWS], simulation.locks.stats[:, 0], strict=True)
    )
    assert taken["mmap_lock"] > 0 and taken["zone_lock"] > 0 and taken["lru_lock"] > 0
