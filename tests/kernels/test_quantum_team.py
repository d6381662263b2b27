"""Threads that share jobs: every unit is done once, and results are the same bits."""

import threading

import numba
import numpy as np
import pytest

from lazynuma.engine import (
    BadInput,
    Mechanism,
    NextTouch,
    Settings,
    Simulation,
    Sweep,
    Thp,
    Tlb,
    Uniform,
    Zipf,
    uniform,
)
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.quantum import team as tm
from lazynuma.kernels.quantum.accesses import CHUNK
from lazynuma.kernels.words import NONE

MIB = 1 << 20
needs_jit = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="the interpreter has no atomic operations"
)


@numba.njit(nogil=True, _nrt=False)
def _share(team, done, units, member):
    """Do what ``kernels.jobs.share`` does, with counting as the work."""
    if member == 0:
        tm.post(team, 0, units)
    waited = 0
    while True:
        unit = tm.take(team)
        if unit != NONE:
            done[unit] += 1
            tm.note_done(team)
            waited = 0
        elif member == 0:
            if tm.is_over(team, units):
                break
        else:
            if tm.is_dismissed(team, waited):
                break
            waited += 1


@needs_jit
@pytest.mark.parametrize("followers", [0, 1, 3, 7])
def test_every_unit_of_many_jobs_is_done_once(followers):
    team, done = np.zeros(tm.TEAM_WIDTH, np.int64), np.zeros(300, np.int64)
    threads = []
    for member in range(1, followers + 1):
        tm.join(team)
        threads.append(
            threading.Thread(target=_share, args=(team, done, 0, member), daemon=True)
        )
        threads[-1].start()
    for job in range(3000):
        units = job * 7 % 301
        done[:] = 0
        _share(team, done, units, 0)
        assert (done[:units] == 1).all() and not done[units:].any()
    tm.dismiss(team)
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert team[tm.Team.PRESENT] == 0


@needs_jit
def test_followers_go_home_where_nothing_is_posted():
    team = np.zeros(tm.TEAM_WIDTH, np.int64)
    tm.join(team)
    _share(team, np.zeros(1, np.int64), 0, 1)
    assert team[tm.Team.PRESENT] == 0


def test_a_leader_alone_does_the_job():
    team, done = np.zeros(tm.TEAM_WIDTH, np.int64), np.zeros(40, np.int64)
    for units in (40, 0, 13):
        done[:] = 0
        _share(team, done, units, 0)
        assert done.tolist() == [1] * units + [0] * (40 - units)


@pytest.mark.parametrize("name", ["shards", "quantum_accesses"])
def test_no_more_units_than_a_ticket_can_number(name):
    with pytest.raises(BadInput, match=name):
        Settings(**{name: 1 << 40})
    most = Settings(shards=1 << 16, quantum_accesses=1 << 31)
    assert max(1 + most.shards, most.quantum_accesses // CHUNK) <= tm.UNITS_MAX


def story(threads, batch, settings):
    """Let a job fill, use, lose and regain memory, in quanta that wake all threads."""
    machine = uniform(3, 64 * MIB, cpus_per_node=4)
    sim = Simulation(machine, settings, threads=threads, batch=batch)
    process = sim.spawn(nbytes=512 * MIB)
    tasks = [sim.start_task(process, cpu) for cpu in range(4)]
    region = sim.mmap(process, 64 * MIB)
    quarter = region.pages // 4
    sim.run(
        [
            Sweep(task=task, region=region, count=quarter, start=i * quarter, write=1.0)
            for i, task in enumerate(tasks)
        ]
    )
    kinds = {
        Mechanism.HINTING: NextTouch,
        Mechanism.SWAPCACHE: Uniform,
        Mechanism.MIGCACHE: Zipf,
    }
    for i, (mechanism, kind) in enumerate(kinds.items()):
        for task in tasks:
            sim.move_task(task, task.id + 4 * ((i + 1) % 3))
        sim.mark(tasks[0], region, mechanism)
        sim.run([kind(task=task, region=region, count=20_000) for task in tasks])
    # More than there is, with somebody to share it: reclaim, and copies.
    child = sim.fork(process)
    tasks.append(sim.start_task(child, 4))
    more = sim.mmap(process, 200 * MIB)
    parts = [more, more, more, more, region.of(child)]
    sim.run(
        [
            Uniform(task=task, region=part, count=20_000, write=0.7)
            for task, part in zip(tasks, parts, strict=True)
        ]
    )
    sim.check()
    totals = sim.counters().sum(axis=0)
    reached = Vm.NUMA_PAGES_MIGRATED, Vm.LAZY_PAGES_MIGRATED, Vm.COW_FAULTS, Vm.PSWPOUT
    assert (totals[list(reached)] > 1000).all()
    memory = sim.memory
    bits = {
        name: getattr(memory, name).tobytes()
        for name in ("node", "mm", "task", "block_used", "block_list", "frame")
    }
    first, end = region.first + process.delta, more.first + more.pages + child.delta
    bits["pte"] = memory.pte[first:end].tobytes()
    bits["told"] = sim.counters().tobytes(), sim.refusals().tobytes(), sim.now
    bits["times"] = [sim.times(one).tobytes() for one in sim.processes]
    sim.close()
    return bits


PLAIN = Settings(swap_bytes=256 * MIB, quantum_ns=20_000_000)
HUGE = Settings(
    swap_bytes=256 * MIB,
    quantum_ns=20_000_000,
    thp=Thp(enabled="always"),
    tlb=Tlb(enabled=True),
)


@needs_jit
@pytest.mark.parametrize("settings", [PLAIN, HUGE], ids=["small", "huge"])
def test_threads_and_batches_change_no_bit(settings):
    expected = story(1, 1 << 20, settings)
    ways = [(1, 1 << 10), (2, 1 << 10), (1, 1 << 16), (2, 1 << 16), (2, 1 << 20)]
    for threads, batch in [*ways, (5, 1 << 20)]:
        got = story(threads, batch, settings)
        assert [name for name in expected if got[name] != expected[name]] == []
