"""The load balancer, worked out by hand; ``docs/model/sched.md``."""

import pytest

from lazynuma.engine import (
    Balancing,
    Costs,
    Sched,
    Settings,
    Simulation,
    Uniform,
    uniform,
)
from lazynuma.kernels import state as st
from lazynuma.kernels.sched.load_balance import rebalance_domains

MS = 1_000_000
OLD = {"busy_factor": 32, "imbalance_pct": 125, "small_imbalance": True}


class Cpus:
    """Nodes of CPUs; a task that never ends on each CPU named; ticks of 1 ms."""

    def __init__(self, on, nodes=1, cpus=2, mode="off", pinned=(), **sched):
        machine = uniform(nodes, 8 << 20, cpus_per_node=cpus)
        self.sim = Simulation(
            machine,
            Settings(
                shards=1,
                balancing=Balancing(mode=mode, tick_ns=MS),
                sched=Sched(load_balance=True, **sched),
            ),
        )
        process = self.sim.spawn()
        self.tasks = [
            self.sim.start_task(process, cpu, pinned=i in pinned)
            for i, cpu in enumerate(on)
        ]
        self.memory.task[:, st.Task.COUNT] = 1

    @property
    def memory(self):
        return self.sim.memory

    def tick(self, start, end):
        """Let ticks in (start, end] ms pass; return where the tasks are."""
        rebalance_domains(self.memory, start * MS, end * MS)
        return self.memory.task[:, st.Task.CPU].tolist()

    def counts(self):
        """Return what was counted, without what was balanced."""
        counted = self.sim.load_balances()
        return {name: n for name, n in counted.items() if n and name != "balanced"}

    def disturb(self, cpu, since, until):
        """Let something else run on a CPU, ms."""
        row = self.memory.cpu[cpu]
        row[st.Cpu.SINCE], row[st.Cpu.UNTIL] = round(since * MS), round(until * MS)

    def domain(self, cpu, level=0):
        return self.memory.domain[cpu, level]


def test_an_idle_cpu_takes_a_task_that_waits():
    """A node of two CPUs is balanced every 2 ms; at 2 ms it is task 0's turn."""
    cpus = Cpus([0, 0])
    assert cpus.tick(0, 1) == [0, 0]
    assert cpus.tick(1, 2) == [0, 1]
    assert cpus.counts() == {"moved_idle": 1}


def test_a_cpu_that_gets_idle_takes_one_at_once():
    cpus = Cpus([0, 0, 1], cpus=8)
    assert cpus.tick(0, 1) == [0, 0, 1]
    cpus.memory.task[2, st.Task.COUNT] = 0
    assert cpus.tick(1, 2) == [0, 1, 1]
    assert cpus.counts() == {"moved_newly_idle": 1}


def test_an_interval_doubles_once_while_nothing_is_to_be_done():
    """Balanced at 2 ms, then every 4 ms, the greatest interval of two CPUs."""
    cpus = Cpus([0])
    last = []
    for ms in range(1, 12):
        cpus.tick(ms - 1, ms)
        last.append(int(cpus.domain(1)[st.Domain.LAST]) // MS)
    assert last == [0, 2, 2, 2, 2, 6, 6, 6, 6, 10, 10]
    assert cpus.domain(1)[st.Domain.INTERVAL] == 4


def test_a_busy_cpu_takes_what_makes_loads_equal():
    """3 against 1: a task's load is above the mean there, and below it here."""
    cpus = Cpus([0, 0, 0, 1])
    assert cpus.tick(0, 31) == [0, 0, 0, 1]
    assert sorted(cpus.tick(31, 32)) == [0, 0, 1, 1]
    assert cpus.counts() == {"moved_busy": 1}


def test_three_tasks_on_two_cpus_take_turns_in_being_alone():
    """2 against 1: half a task is too much; before 5.5 a whole one was moved."""
    old = Cpus([0, 0, 1], small_imbalance=True)
    assert sum(old.tick(0, 32)) == 2
    new = Cpus([0, 0, 1])
    assert sum(new.tick(0, 32)) == 1 and new.counts() == {"failed": 1}
    assert sum(new.tick(32, 64)) == 2
    assert new.counts() == {"failed": 1, "moved_busy": 1}


@pytest.mark.parametrize("pct, moved", [(125, 0), (117, 1)])
def test_a_node_may_have_a_fourth_more(pct, moved):
    """5 tasks on 4 CPUs against 4: 125 %, a half task to move, at the second try."""
    cpus = Cpus([0, 1, 2, 3, 3, 4, 5, 6, 7], nodes=2, cpus=4, imbalance_pct=pct)
    cpus.memory.info[st.Info.BUSY_FACTOR] = 1
    cpus.tick(0, 16)
    assert cpus.counts().get("moved_node", 0) == moved


def test_the_first_cpu_of_a_busy_node_balances_for_it():
    cpus = Cpus([0, 0, 1, 1, 2, 3], nodes=2, cpus=2, imbalance_pct=117)
    cpus.memory.info[st.Info.BUSY_FACTOR] = 1
    where = cpus.tick(0, 4)
    assert sorted(where) == [0, 1, 1, 2, 2, 3]
    assert cpus.counts() == {"moved_busy": 1, "moved_node": 1}


def test_running_tasks_are_pushed_after_five_failures():
    """A node of 4 idle CPUs beside a full one: it fails at 8, 16, 24 and 32 ms."""
    cpus = Cpus([0, 1, 2, 3], nodes=2, cpus=4)
    assert cpus.tick(0, 39) == [0, 1, 2, 3]
    assert cpus.counts() == {"failed": 4}
    assert cpus.tick(39, 40) == [4, 1, 2, 3]
    # CPU 5 is the first idle one now, and fails for the first time.
    assert cpus.counts() == {"failed": 6, "pushed": 1, "moved_node": 1}
    where = cpus.tick(40, 200)
    assert sum(cpu < 4 for cpu in where) == 2


def test_what_ran_within_half_a_millisecond_stays():
    """Preempted at 1.6 ms, the task of CPU 0 is hot at 2 ms, and no longer at 4 ms."""
    cpus = Cpus([0])
    cpus.disturb(0, 1.6, 9)
    assert cpus.tick(0, 2) == [0]
    assert cpus.counts() == {"hot": 1}
    assert cpus.tick(2, 4) == [1]
    assert cpus.counts() == {"hot": 1, "moved_idle": 1}


def test_hot_tasks_move_after_two_failures():
    cpus = Cpus([0], migration_cost_ns=10 * MS)
    cpus.disturb(0, 1, 99)
    assert cpus.tick(0, 4) == [0] and cpus.tick(4, 6) == [1]
    assert cpus.counts() == {"hot": 2, "moved_hot": 1, "moved_idle": 1}


def test_what_is_pinned_never_moves():
    cpus = Cpus([0, 0, 1], nodes=2, cpus=2, pinned=(0, 1, 2))
    assert cpus.tick(0, 500) == [0, 0, 1]
    assert cpus.counts() == {}


def preferring(task, node, locality, on=(0, 0), **columns):
    """Return CPUs of a machine whose first task has statistics and a preference."""
    cpus = Cpus(on, nodes=2, cpus=2, mode="normal", locality=locality)
    row = cpus.memory.numa[task]
    row[st.Numa.COUNTED], row[st.Numa.PREFERRED] = 1, node
    return cpus


def test_a_task_that_prefers_its_node_is_not_taken_from_it():
    """CPU 1 is busy, too; task 1 waits at 4 ms and would go to node 1."""
    cpus = preferring(1, 0, "degrades", on=(0, 0, 1))
    assert cpus.tick(0, 4) == [0, 0, 1]
    assert cpus.counts() == {"locality": 1}
    free = preferring(1, 0, "none", on=(0, 0, 1))
    assert free.tick(0, 4) == [0, 2, 1]


def test_a_hot_task_that_gets_to_its_memory_moves():
    """``improves`` and ``degrades`` let it go at once, ``none`` keeps what is hot."""
    for locality, where in (
        ("none", [0, 1]),
        ("improves", [2, 1]),
        ("degrades", [2, 1]),
    ):
        cpus = preferring(0, 1, locality, on=(0, 1))
        cpus.disturb(0, 3.9, 9)
        assert cpus.tick(0, 4) == where, locality


def test_disturbances_come_as_often_as_asked():
    """4 CPUs, 10 s, one in 100 ms on each that is not disturbed: 400 less a tenth."""
    cpus = Cpus([0], cpus=4, disturb_ns=10 * MS, disturb_period_ns=100 * MS)
    cpus.tick(0, 10_000)
    assert 300 < cpus.counts()["disturbed"] < 420
    again = Cpus([0], cpus=4, disturb_ns=10 * MS, disturb_period_ns=100 * MS)
    for ms in range(0, 10_000, 50):
        again.tick(ms, ms + 50)
    assert again.counts() == cpus.counts()


# --- whole runs -----------------------------------------------------------------------


def worked(on, cpus=2, nodes=1, **sched):
    """Return a simulation whose tasks have worked for 220 ms, begun on these CPUs.

    An access is short against a quantum: a task whose next access does not fit into it
    sits the rest out.
    """
    sim = Simulation(
        uniform(nodes, 8 << 20, cpus_per_node=cpus),
        Settings(shards=2, quantum_ns=20 * MS, sched=Sched(**sched)),
        Costs(queueing_permille=0),
    )
    process = sim.spawn()
    tasks = [sim.start_task(process, cpu) for cpu in on]
    region = sim.mmap(process, 8 * 4096)
    sim.populate(tasks[0], region)
    sim.synchronize()
    load = {"region": region, "count": 4000, "refs": 512}
    sim.run([Uniform(task=task, **load) for task in tasks])
    return sim, [sim.clock(task) for task in tasks]


def test_tasks_of_a_cpu_run_in_turns():
    _, alone = worked([0, 1])
    sim, shared = worked([0, 0], time_sharing=True)
    assert shared == pytest.approx([2 * ns for ns in alone], rel=0.03)
    assert sim.run_delays() == pytest.approx(alone, rel=0.03)


def test_three_tasks_get_two_thirds_of_two_cpus_each():
    """Without a balancer one has a CPU for itself, and is done in half the time."""
    _, fixed = worked([0, 0, 1], time_sharing=True)
    assert max(fixed) > 1.9 * min(fixed)
    _, moved = worked([0, 0, 1], time_sharing=True, load_balance=True, **OLD)
    assert max(moved) < 1.25 * min(moved)


def test_tasks_that_are_born_on_one_cpu_spread_over_all():
    """Idle CPUs take them one by one; the last ones are done twice as late."""
    born = {"on": [0] * 16, "cpus": 4, "nodes": 4, "time_sharing": True}
    _, stay = worked(**born)
    sim, clocks = worked(**born, load_balance=True)
    _, alone = worked(range(16), cpus=4, nodes=4)
    assert max(stay) > 9 * max(alone)
    assert max(clocks) < 2.5 * max(alone)
    assert sim.load_balances()["moved_node"] >= 12


def test_a_balancer_with_nothing_to_do_changes_nothing():
    _, clocks = worked([0, 1, 2, 3], cpus=4)
    sim, same = worked([0, 1, 2, 3], cpus=4, load_balance=True, time_sharing=True)
    assert clocks == same and sum(sim.run_delays()) == 0
    assert [task.cpu for task in sim.tasks] == [0, 1, 2, 3]


def test_what_disturbs_a_cpu_takes_its_time():
    _, alone = worked([0])
    often = {"disturb_ns": 2 * MS, "disturb_period_ns": 8 * MS}
    sim, clocks = worked([0], cpus=1, time_sharing=True, load_balance=True, **often)
    stolen = sim.load_balances()["disturbed"] * 2 * MS
    assert stolen > 20 * MS
    assert clocks[0] - alone[0] == pytest.approx(stolen, abs=12 * MS)
