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
from lazynuma.engine import BadInput, Costs, Locks, Settings, Simulation, Sweep, uniform
from lazynuma.engine.run import run_study
from lazynuma.engine.settings.locks import ROWS, tables, used
from lazynuma.engine.settings.parameters import override, split_settings
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels.counters import Cause, Op
from lazynuma.kernels.quantum import lock_wait as lw
from lazynuma.kernels.state import Task

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
        stats=np.zeros((1, len(lw.LockStat))),
        waited=np.zeros((n, 1), np.int64),
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


@pytest.mark.parametrize(
    "readers, read_share, writers, write_share, write_hold",
    [(8, 0.2, 1, 0.1, 1000), (32, 0.3, 1, 0.2, 5000), (32, 0.1, 4, 0.05, 2000)],
)
def test_writers_wait_for_readers_and_these_for_them(
    readers, read_share, writers, write_share, write_hold
):
    both = [Customer(read_share, reads=True)] * readers
    both += [Customer(write_share, write_hold)] * writers
    got, want = expected(both), simulated(both, events=400_000)
    assert np.mean(got[:readers]) == pytest.approx(np.mean(want[:readers]), rel=0.15)
    assert np.mean(got[readers:]) == pytest.approx(np.mean(want[readers:]), rel=0.15)


def test_readers_alone_do_not_wait():
    assert not expected([Customer(0.9, reads=True)] * 40).any()


@pytest.mark.parametrize("share", [1e-4, 0.3, 0.999])
def test_no_wait_is_longer_than_a_hold_of_each_other(share):
    assert (expected([Customer(share)] * 50) <= 49 * 1000 * (1 + 1e-9)).all()


# --- in a simulation ------------------------------------------------------------------


def toiled(locks, tasks=8, threads=1, batch=1 << 20):
    """Return a simulation in which tasks of one process touched memory of their own."""
    settings = Settings(locks=locks, quantum_ns=2_000_000)
    machine = uniform(2, 256 * MIB, tasks // 2)
    simulation = Simulation(machine, settings, threads=threads, batch=batch)
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


def test_a_lock_for_all_page_tables_makes_faults_wait():
    quiet, noisy = toiled(Locks()), toiled(NOISY)
    split = toiled(Locks(enabled=True, pte_lock_hold_ns=500))
    waits = [one.summary()["lock_wait_ns"] for one in (quiet, split, noisy)]
    assert waits[0] == 0 and waits[1] < waits[2] / 5
    faults = noisy.total("pgfault")
    # Eight tasks that hold it half of their time: each waits for more than two others.
    assert 2 * 500 < waits[2] / faults < 7 * 500


def test_locks_that_are_off_change_nothing():
    off = toiled(Locks(pte_lock_scope="mm", pte_lock_hold_ns=500)).summary()
    for name, value in toiled(Locks()).summary().items():
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
    with pytest.raises(BadInput, match="locks.zone_lock_hold_ns must be at least 1"):
        Locks(zone_lock_hold_ns=0)


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
        assert {use.mode for use in uses.values()} == {mode}
