"""The load balancer in whole runs: against the slow model, and on its own."""

import random
from dataclasses import replace
from functools import cache

import pytest

from common.pair import MIB, Engines, Pair
from common.stories import balanced_story
from lazynuma.engine import Balancing, Sched, Settings, Simulation, Uniform, uniform
from lazynuma.engine.errors import BadInput
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels import state as st

MS = 1_000_000
RULES = {
    "none": {"busy_factor": 2, "imbalance_pct": 125, "small_imbalance": True},
    "improves": {"busy_factor": 1, "migration_cost_ns": 30 * MS},
    "degrades": {"busy_factor": 1, "imbalance_pct": 110},
}


def crowd(rule, kind=Pair):
    """Let 3 to 11 tasks of 3 nodes of 2 CPUs work, with balancing and disturbances."""
    options = Settings(
        shards=2,
        quantum_ns=3 * MS,
        balancing=Balancing(
            mode="normal", scan_delay_ms=1, scan_period_min_ms=5, tick_ns=MS
        ),
        sched=Sched(
            load_balance=True,
            time_sharing=True,
            locality=rule,
            disturb_ns=6 * MS,
            disturb_period_ns=40 * MS,
            **RULES[rule],
        ),
    )
    pair = kind(uniform(3, 8 * MIB, cpus_per_node=2), options, 1)
    rng = random.Random(5)
    process = pair.call("spawn", "job", 64 * MIB)
    pair.processes.append(process)
    region = pair.call("mmap", process, 64 * 4096)
    for tasks in (3, 7, 11):
        while len(pair.tasks) < tasks:
            cpu, pinned = rng.choice((0, 0, 1, 2)), len(pair.tasks) == 4
            pair.tasks.append(pair.call("start_task", process, cpu, pinned=pinned))
        for i, sim in enumerate(pair.sims):
            load = {"region": region[i], "refs": 2048, "write": 0.5}
            counts = [150 + 20 * k for k in range(tasks)]
            sim.run(
                [
                    Uniform(task=task[i], count=count, **load)
                    for task, count in zip(pair.tasks, counts, strict=True)
                ]
            )
        pair.compare()
    pair.check()
    return pair


@cache
def counted(rule):
    """Return what the load balancer did in a crowd that both models agree on."""
    pair = crowd(rule)
    assert pair.tasks[4][0].cpu == pair.tasks[4][1].cpu
    return pair.sims[0].load_balances()


@pytest.mark.parametrize("rule", RULES)
def test_engine_and_reference_agree_on_a_crowd(rule):
    assert counted(rule)["moved_node"]


def test_crowds_do_all_that_there_is():
    every = [counted(rule) for rule in RULES]
    assert not [name for name in every[0] if not any(one[name] for one in every)]


@pytest.mark.parametrize("rule", RULES)
def test_a_crowd_does_not_depend_on_batch_or_threads(rule):
    crowd(rule, Engines)


@pytest.mark.parametrize("seed", [3000, 3015, 4008])
def test_they_agree_on_stories_with_a_load_balancer(seed):
    pair = balanced_story(seed, 14, seed % 2 == 1)
    assert pair.sims[0].load_balances()["balanced"]


def test_no_cpu_has_two_tasks_while_another_of_its_node_is_idle_for_long():
    """An idle CPU of a node of 4 looks every 8 ms at least; a quantum is 5 ms."""
    options = Settings(
        shards=1,
        quantum_ns=5 * MS,
        sched=Sched(load_balance=True, time_sharing=True),
    )
    sim = Simulation(uniform(2, 8 * MIB, cpus_per_node=4), options)
    process, rng = sim.spawn(), random.Random(1)
    tasks = [sim.start_task(process, 0) for _ in range(8)]
    region = sim.mmap(process, 8 * 4096)
    since, longest = [sim.now, sim.now], []

    def look(_where):
        table = sim.memory.task
        running = table[:, st.Task.NUMBER] < table[:, st.Task.COUNT]
        on = table[running, st.Task.CPU].tolist()
        for node in (0, 1):
            mine = [cpu for cpu in on if cpu // 4 == node]
            if len(mine) == len(set(mine)) or len(set(mine)) == 4:
                since[node] = sim.now
            longest.append(sim.now - since[node])

    sim.pause = look
    for _ in range(12):
        for task in tasks:
            sim.move_task(task, rng.randrange(8))
        since[:] = [sim.now, sim.now]
        some = rng.sample(tasks, rng.randint(2, 8))
        sim.run([Uniform(task=t, region=region, count=400, refs=512) for t in some])
    assert 0 < max(longest) <= 15 * MS


def test_profiles_have_the_constants_of_their_release():
    old, middle, new = (
        PROFILES[name].sched for name in ("linux-3.8", "linux-3.13", "linux-6.12")
    )
    assert (old.busy_factor, old.imbalance_pct, old.locality) == (32, 125, "none")
    assert middle == replace(old, locality="improves")
    assert new == Sched() and not new.small_imbalance
    assert not any(one.sched.load_balance for one in PROFILES.values())


@pytest.mark.parametrize(
    "knob, value, said",
    [
        ("busy_factor", 0, "sched.busy_factor must be from 1 to 1024, got 0"),
        ("imbalance_pct", 99, "sched.imbalance_pct must be from 100 to 1000, got 99"),
        ("locality", "worse", "sched.locality must be one of none, improves, degrades"),
        ("disturb_period_ns", 0, "sched.disturb_period_ns must be from 1 to"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(knob, value, said):
    with pytest.raises(BadInput, match=said):
        Sched(**{knob: value})
