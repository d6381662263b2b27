"""Statistics of NUMA balancing: decay, periods, groups, and tasks that move.

Written from task_numa_placement, update_task_scan_period, task_numa_group,
preferred_group_nid and task_numa_migrate (kernel/sched/fair.c, 6.12) and from
``docs/model/balancing.md``.  Nodes have two CPUs: node n has 2n and 2n + 1.
"""

import numpy as np
import pytest

from common.numa_world import HUGE, NEVER_MS, World
from lazynuma.engine import Mode, Policy, Sweep, preset
from lazynuma.engine.machines.machine import from_slit
from lazynuma.engine.machines.presets import PRESETS
from lazynuma.engine.state.allocate import topology_type
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.knobs import Topology

GB = 1 << 18
#: (47742 << 16) / 47743: the weight of a task that was never placed before.
FIRST = 65_534


def placed(
    faults, local=0, failed=0, period=1000, now_ms=500, rss=3 * GB, w=None, **columns
):
    """Let task 0 be placed after faults {(node, priv): pages}; return the world."""
    w = w or World(placement=False)
    w.memory.mm[0, [st.Mm.SCAN_SEQ, st.Mm.RSS]] = 3, rss
    w.set(period=period, seq=2, counted=1, **columns)
    w.saw(w.task, faults, local, failed)
    w.end_quantum(now_ms)
    return w


# --- decay -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "new", "after"),
    [
        (0, 0, 0),
        # MEM - MEM / 2 keeps 1 for ever.
        (1, 0, 1),
        (2, 0, 1),
        (7, 0, 4),
        (100, 40, 90),
        (101, 40, 91),
        (0, 512, 512),
    ],
)
def test_old_faults_count_half(before, new, after):
    w = World(placement=False)
    w.memory.numa_faults[0, st.NumaFaults.MEM, 1, 0] = before
    w.set(total=before)
    # There must be some fault: a private one on node 2.
    placed({(1, 0): new, (2, 1): 1}, w=w)
    seen = w.sim.numa(w.task)
    assert seen.faults[st.NumaFaults.MEM].tolist() == [[0, 0], [after, 0], [0, 1]]
    assert (
        not seen.faults[st.NumaFaults.MEMBUF].any()
        and not seen.faults[st.NumaFaults.CPUBUF].any()
    )
    assert (seen.total, seen.seq) == (after + 1, 3)


def test_cpu_use_is_weighed_by_runtime_at_first_in_full():
    """65534 * 40 / 41, in integers; old use counts half, rounded up."""
    w = World(placement=False)
    w.memory.numa_faults[0, st.NumaFaults.CPU, 0, 1] = 1001
    placed({(0, 1): 25, (1, 0): 15}, local=25, w=w)
    cpu = w.sim.numa(w.task).faults[st.NumaFaults.CPU].tolist()
    # On node 0, whose CPU took all: 65534 * 15 / 41 and 65534 * 25 / 41 + 501.
    assert cpu == [[23_975, 39_959 + 501], [0, 0], [0, 0]]


def test_cpu_use_of_a_task_that_ran_half_the_time():
    """(50 ms << 16) / (100 ms + 1 ns) is 32,767; * 9 / 10 is 29,490."""
    w = World(placement=False)
    w.memory.task[0, st.Task.RUNTIME] = 170_000_000
    # Placed last at 400 ms with 120 ms of runtime.
    columns = {"last_runtime": 120_000_000, "last_placement": 400_000_000}
    placed({(0, 1): 9}, local=9, w=w, **columns)
    seen = w.sim.numa(w.task)
    assert seen.faults[st.NumaFaults.CPU].tolist() == [[0, 29_490], [0, 0], [0, 0]]
    row = w.memory.numa[0]
    assert row[st.Numa.LAST_RUNTIME] == 170_000_000
    assert row[st.Numa.LAST_PLACEMENT] == 500_000_000


def test_no_placement_before_a_pass_is_over_or_the_retry_is_due():
    w = World(placement=False)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 2
    w.set(period=160, seq=2, preferred=1)
    w.saw(w.task, {(0, 1): 5}, 5)
    w.end_quantum(100)
    seen = w.sim.numa(w.task)
    assert (
        seen.faults[st.NumaFaults.MEMBUF, 0, 1] == 5
        and seen.faults[st.NumaFaults.MEM, 0, 1] == 0
    )
    # numa_migrate_preferred: now + min(1000, 160 / 16), whether there was a pass.
    assert seen.retry_ms == 110
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 3
    w.saw(w.task, {(0, 1): 5}, 5)
    w.end_quantum(110)
    assert w.sim.numa(w.task).seq == 2
    w.saw(w.task, {(0, 1): 5}, 5)
    w.end_quantum(111)
    seen = w.sim.numa(w.task)
    assert (seen.seq, seen.faults[st.NumaFaults.MEM, 0, 1], seen.preferred) == (
        3,
        15,
        0,
    )


def test_without_a_preferred_node_there_is_no_retry():
    w = World(placement=False)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 2
    w.set(period=160, seq=2)
    w.saw(w.task, {(0, 1): 5}, 5)
    w.end_quantum(100)
    assert w.sim.numa(w.task).retry_ms == 0


@pytest.mark.parametrize(("period", "retry"), [(1000, 62), (16_001, 1000), (7, 0)])
def test_the_retry_is_a_sixteenth_of_the_period_or_a_second(period, retry):
    w = World(placement=False)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 2
    w.set(period=period, seq=2, preferred=1)
    w.saw(w.task, {(0, 1): 5}, 5)
    w.end_quantum(100)
    assert w.sim.numa(w.task).retry_ms == 100 + retry


# --- the period --------------------------------------------------------------------


#: 3 GB: from 100 to 5000 ms.
PERIODS = [
    # (period, local, remote, shared, private, failed, new)
    # ps >= 7: max(1, ps - 7) slots of a tenth more.
    (1000, 10, 0, 0, 10, 0, 1300),
    (1000, 0, 10, 1, 9, 0, 1200),
    (1000, 0, 10, 2, 8, 0, 1100),
    (1000, 0, 10, 3, 7, 0, 1100),
    # lr >= 7, where ps is less.
    (1000, 7, 3, 4, 6, 0, 1100),
    (1000, 9, 1, 10, 0, 0, 1200),
    (1000, 10, 0, 10, 0, 0, 1300),
    # Else minus 7 - max(lr, ps) slots.
    (1000, 6, 4, 5, 5, 0, 900),
    (1000, 2, 8, 6, 4, 0, 700),
    (1000, 0, 10, 10, 0, 0, 300),
    # Ratios and slots: integers; 69 % is 6, a tenth of 1001 is 101.
    (1001, 69, 31, 100, 0, 0, 900),
    (1001, 10, 0, 0, 10, 0, 1304),
    (995, 0, 10, 10, 0, 0, 295),
    # To 100 and 5000.
    (120, 0, 10, 10, 0, 0, 100),
    (4900, 10, 0, 0, 10, 0, 5000),
    # Nothing shared, nothing local, or a failure: twice as long, and no more.
    (1000, 0, 10, 0, 10, 0, 2000),
    (1000, 10, 0, 5, 5, 1, 2000),
    (3000, 10, 0, 5, 5, 9, 5000),
]


@pytest.mark.parametrize(
    ("period", "local", "remote", "shared", "private", "failed", "new"), PERIODS
)
def test_the_new_period(period, local, remote, shared, private, failed, new):
    assert local + remote == shared + private
    w = placed({(1, 0): shared, (1, 1): private}, local, failed, period)
    seen = w.sim.numa(w.task)
    assert (seen.period_ms, seen.period_max_ms) == (new, 5000)
    doubled = failed or local + shared == 0
    counts = (seen.remote, seen.local, seen.failed)
    # Linux clears the counts on one of the two ways out.
    assert counts == ((remote, local, failed) if doubled else (0, 0, 0))
    next_scan = w.sim.scan_state(w.process)[2]
    assert next_scan == (500 + new if doubled else NEVER_MS)


def test_counts_that_stayed_are_there_the_next_time():
    w = placed({(1, 1): 10}, period=1000)
    assert w.sim.numa(w.task).period_ms == 2000
    # 10 remote of before, and 10 local: a half, less than 7 tenths, as 0 private.
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 4
    w.set(retry=0)
    w.saw(w.task, {(0, 0): 10}, 10)
    w.end_quantum(700)
    assert w.sim.numa(w.task).period_ms == 2000 - 2 * 200


# --- the preferred node ------------------------------------------------------------


@pytest.mark.parametrize(
    ("mem", "preferred"),
    [
        ([1, 5, 3], 1),
        ([5, 5, 3], 0),
        ([0, 5, 5], 1),
        ([0, 0, 1], 2),
    ],
)
def test_the_preferred_node_has_most_faults_of_equals_the_first(mem, preferred):
    w = placed({(n, 0): pages for n, pages in enumerate(mem)})
    assert w.sim.numa(w.task).preferred == preferred


def test_a_node_without_cpus_is_never_preferred():
    """numa_nearest_node: node 0 is at 50 of the CXL node, node 1 at 60."""
    w = World(machine=preset("dram-cxl", "1G"), placement=False, span=HUGE)
    placed({(2, 0): 100, (1, 0): 5}, w=w)
    assert w.sim.numa(w.task).preferred == 0


def test_move_task_resets_the_period_by_update_scan_period():
    """With rss 0 the start is 1000 ms."""
    for seq, preferred, reset in [
        (0, 1, True),
        (3, 1, False),
        (3, 0, True),
        (3, 2, False),
        (3, -1, True),
    ]:
        w = World()
        w.set(period=123, seq=seq, preferred=preferred, counted=1)
        w.sim.move_task(w.task, 2)
        assert w.sim.numa(w.task).period_ms == (1000 if reset else 123)


def test_a_move_within_a_node_or_without_statistics_resets_nothing():
    w = World()
    w.set(period=123, seq=0, counted=1)
    w.sim.move_task(w.task, 1)
    assert w.sim.numa(w.task).period_ms == 123
    w.set(counted=0)
    w.sim.move_task(w.task, 2)
    assert w.sim.numa(w.task).period_ms == 123


# --- topology ----------------------------------------------------------------------


TYPES = {
    "2s": (Topology.DIRECT, 21),
    "4s": (Topology.DIRECT, 21),
    # 0 and 2 are at 31, and 1 is nearer to both.
    "4s-ring": (Topology.GLUELESS_MESH, 31),
    # 0 and 7 are at 41; 1 is at 21 and 31.
    "8s": (Topology.GLUELESS_MESH, 41),
    # Boards are at 41 from each other, and nothing is between.
    "16-node": (Topology.BACKPLANE, 41),
    # Only the sockets count.
    "dram-cxl": (Topology.DIRECT, 32),
}


@pytest.mark.parametrize("name", PRESETS)
def test_the_type_of_a_preset(name):
    assert topology_type(preset(name)) == TYPES[name]


def test_types_of_other_tables():
    def kind(slit):
        n = len(slit)
        return topology_type(from_slit("x", (1 << 30,) * n, (1,) * n, slit))[0]

    assert kind([[10]]) == Topology.DIRECT
    # Two pairs: nobody is between.
    pairs = [[10, 15, 30, 30], [15, 10, 30, 30], [30, 30, 10, 15], [30, 30, 15, 10]]
    assert kind(pairs) == Topology.BACKPLANE
    # Only the first pair at the greatest distance is asked: 0 and 2 have 1 between.
    line = [[10, 20, 30], [20, 10, 20], [30, 20, 10]]
    assert kind(line) == Topology.GLUELESS_MESH


def preferred_of(machine, mem, **options):
    """Return the preferred node of a grouped task by its group's shared MEM faults."""
    w = World(machine=machine, placement=False, span=HUGE, **options)
    faults = [(pages, 0) for pages in mem]
    w.group(0, w.tasks, mem=faults)
    w.memory.numa_faults[0, st.NumaFaults.MEM] = faults
    w.set(total=sum(mem))
    # 2 faults on the last node; its 0 before them stay what the decay makes of them.
    placed({(len(mem) - 1, 0): 2}, w=w)
    return w.sim.numa(w.task).preferred


def test_a_group_on_a_ring_goes_to_the_middle():
    """Twice these, halved: 100, 90, 80, 2.  Neighbours count 10 / 21.

    0: 100 + 42 + 0, 1: 90 + 47 + 38, 2: 80 + 42 + 0, 3: 2 + 47 + 38.
    """
    assert preferred_of(preset("4s-ring", "1G"), [200, 180, 160, 0]) == 1


def test_a_group_on_a_ring_with_one_node_stays_there():
    assert preferred_of(preset("4s-ring", "1G"), [200, 20, 0, 0]) == 0


def test_a_group_at_corners_of_a_cube_goes_between_them():
    """Nodes 0, 3 and 5 have 100, 90 and 80; a hop counts 20 / 31, two 10 / 31.

    1: 64 + 58 + 51 = 173; 0: 100 + 29 + 25; 3: 90 + 32 + 25; 5: 80 + 32 + 29.
    """
    assert preferred_of(preset("8s", "2G"), [200, 0, 0, 180, 0, 160, 0, 0]) == 1


def test_a_group_behind_a_backplane_goes_down_the_levels():
    """Board 1 has 120, node 0 has 100; on board 1 node 5 has most."""
    mem = [200, 0, 0, 0, 80, 100, 60] + [0] * 9
    assert preferred_of(preset("16-node", "4G"), mem) == 5


def test_a_group_on_a_direct_machine_goes_where_most_is():
    assert preferred_of(preset("4s", "1G"), [200, 180, 160, 0]) == 0


# --- groups ------------------------------------------------------------------------


def faulting(w, task, *others, pages=4):
    """Let a task have faults in this quantum, on pages last used by others."""
    w.saw(task, {(0, 0): pages}, pages)
    for other in others:
        w.met(task, other)
    w.set(task, retry=10**9)


def test_a_group_begins_with_the_statistics_of_its_task():
    w = World(cpus=(0, 1))
    w.memory.numa_faults[1, st.NumaFaults.MEM] = [(1, 2), (3, 4), (5, 6)]
    w.memory.numa_faults[1, st.NumaFaults.CPU] = [(9, 8), (7, 6), (5, 4)]
    w.set(w.tasks[1], total=21, counted=1)
    faulting(w, w.tasks[1], w.tasks[0])
    w.end_quantum(100)
    assert w.sim.numa(w.tasks[1]).group == 1
    group = w.sim.numa_group(1)
    assert (group.tasks, group.total, group.active, group.max_cpu) == (1, 21, 1, 0)
    assert group.faults[st.NumaFaults.MEM].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert group.faults[st.NumaFaults.CPU].tolist() == [[9, 8], [7, 6], [5, 4]]
    # The other task has no group yet: nothing to join.
    assert w.sim.numa(w.tasks[0]).group == -1


def three(own, other):
    """Return a world with groups of so many tasks: 0 and up, and the rest."""
    w = World(cpus=range(own + other), nodes=4)
    for number, size in ((0, own), (own, other)):
        tasks = w.tasks[number : number + size]
        for task in tasks:
            w.memory.numa_faults[task.id, st.NumaFaults.MEM, 1, 0] = 10
            w.set(task, total=10)
        w.group(number, tasks, mem=[(0, 0), (10 * size, 0), (0, 0), (0, 0)])
    return w


@pytest.mark.parametrize(
    ("own", "other", "joins"), [(1, 2, True), (2, 1, False), (2, 3, True)]
)
def test_the_smaller_group_joins_the_bigger(own, other, joins):
    w = three(own, other)
    faulting(w, w.tasks[0], w.tasks[own])
    w.end_quantum(100)
    assert w.sim.numa(w.tasks[0]).group == (own if joins else 0)
    sizes = [w.sim.numa_group(n).tasks for n in (0, own)]
    assert sizes == ([own - 1, other + 1] if joins else [own, other])
    totals = [w.sim.numa_group(n).total for n in (0, own)]
    assert totals == [10 * size for size in sizes]
    mem = [int(w.sim.numa_group(n).faults[st.NumaFaults.MEM, 1, 0]) for n in (0, own)]
    assert mem == totals


def test_of_equal_groups_the_lower_number_joins():
    w = three(2, 2)
    faulting(w, w.tasks[0], w.tasks[2])
    faulting(w, w.tasks[2], w.tasks[0])
    w.end_quantum(100)
    assert [w.sim.numa(task).group for task in w.tasks] == [2, 0, 2, 2]
    w = three(2, 2)
    faulting(w, w.tasks[2], w.tasks[0])
    w.end_quantum(100)
    assert [w.sim.numa(task).group for task in w.tasks] == [0, 0, 2, 2]


def test_tasks_of_other_processes_are_not_joined():
    w = World(cpus=(0,))
    other = w.sim.start_task(w.sim.fork(w.process), 1)
    w.group(0, w.tasks)
    w.group(1, [other])
    faulting(w, w.task, other)
    w.end_quantum(100)
    assert [w.sim.numa(task).group for task in (w.task, other)] == [0, 1]


def test_groups_are_a_setting():
    w = World(cpus=(0, 2), groups=False)
    region = w.map(1)
    w.place(region, 0)
    w.hint(region)
    w.set_last(region, (2, 2))
    w.touch(region)
    assert [w.sim.numa(task).group for task in w.tasks] == [-1, -1]
    assert w.sim.numa(w.task).faults[st.NumaFaults.MEMBUF].sum(axis=0).tolist() == [
        1,
        0,
    ]


def test_an_exit_takes_its_statistics_out_of_the_group():
    w = World(cpus=(0,))
    other = w.sim.start_task(w.sim.fork(w.process), 1)
    mem = [(10, 3), (0, 0), (0, 0)]
    w.group(0, [w.task, other], mem=[(25, 3), (0, 7), (0, 0)])
    w.memory.numa_faults[other.id, st.NumaFaults.MEM] = mem
    w.set(other, total=13)
    w.sim.exit(other.process)
    group = w.sim.numa_group(0)
    assert (group.tasks, group.total) == (1, 35 - 13)
    assert group.faults[st.NumaFaults.MEM].tolist() == [[15, 0], [0, 7], [0, 0]]


def shared_fault(w, region, first, second):
    """Let a task use a page after another one did; both faults are hint faults."""
    w.hint(region)
    w.touch(region, by=first)
    w.hint(region)
    w.touch(region, by=second)


def test_threads_that_share_a_page_become_a_group():
    w = World(cpus=(0, 2))
    region = w.map(1)
    w.place(region, 0)
    w.sim.mbind(w.task, region, bound())
    # The second makes a group; then the first makes one: of equals 0 joins 1.
    shared_fault(w, region, *w.tasks)
    assert [w.sim.numa(task).group for task in w.tasks] == [-1, 1]
    w.set_last(region, (2, 2))
    w.hint(region)
    w.touch(region)
    assert [w.sim.numa(task).group for task in w.tasks] == [1, 1]
    assert w.sim.numa_group(1).tasks == 2


def bound():
    """Return a policy under which local faults are remembered, too."""
    return Policy(Mode.BIND, (0, 1, 2), numa_balancing=True)


def test_a_page_of_another_process_makes_no_shared_group_and_is_private():
    """task_numa_group: *priv = !join, where the other's group is not smaller."""
    w = World(cpus=(0,))
    child = w.sim.fork(w.process)
    other = w.sim.start_task(child, 2)
    region = w.map(1)
    w.place(region, 0)
    w.group(1, [other])
    w.hint(region)
    w.set_last(region, (2, 2))
    w.touch(region)
    seen = w.sim.numa(w.task)
    assert seen.faults[st.NumaFaults.MEMBUF].sum(axis=0).tolist() == [0, 1]
    assert [w.sim.numa(task).group for task in (w.task, other)] == [0, 1]


def test_a_task_that_left_the_cpu_is_not_met():
    w = World(cpus=(0, 2))
    region = w.map(1)
    w.place(region, 0)
    w.group(1, [w.tasks[1]])
    w.hint(region)
    # Task 1 (pid 2) is on CPU 2, not 3.
    w.set_last(region, (2, 3))
    w.touch(region)
    assert [w.sim.numa(task).group for task in w.tasks] == [0, 1]
    assert w.sim.numa(w.task).faults[st.NumaFaults.MEMBUF].sum(axis=0).tolist() == [
        1,
        0,
    ]


def test_read_only_entries_make_no_group():
    """TNF_NO_GROUP; a mapcount of 1 would make the entry writable again."""
    w = World(cpus=(0, 2))
    region = w.map(1)
    w.place(region, 0)
    w.sim.fork(w.process)
    w.hint(region)
    w.set_last(region, (2, 2))
    w.touch(region, write=False)
    assert w.sim.numa(w.task).group == -1
    assert w.sim.numa(w.task).faults[st.NumaFaults.MEMBUF].sum(axis=0).tolist() == [
        1,
        0,
    ]


@pytest.mark.parametrize("after_fork", [True, False])
def test_entries_that_could_be_writable_make_a_group(after_fork):
    w = World(cpus=(0, 2))
    region = w.map(1)
    w.place(region, 0)
    if after_fork:
        w.sim.exit(w.sim.fork(w.process))
    w.hint(region)
    w.set_last(region, (2, 2))
    w.touch(region, write=False)
    assert w.sim.numa(w.task).group == 0


def test_active_nodes_have_more_than_a_third_of_the_most():
    """CPU statistics are decayed first: 602, 600 and 1200 become 301, 300, 600 and up.

    The task's one fault of 2 pages on node 0 adds 65534 * 2 / 3 to node 0's.
    """
    w = World(placement=False)
    use = FIRST * 2 // 3
    cpu = [(0, 0), (use // 3, 0), (use // 3 + 1, 0)]
    w.group(0, w.tasks, cpu=cpu)
    placed({(0, 0): 2}, local=2, w=w)
    group = w.sim.numa_group(0)
    # use = 43689: a third is 14563, not more; 14564 is.
    assert use == 3 * 14_563
    assert (group.max_cpu, group.active) == (use, 2)


# --- tasks that move ---------------------------------------------------------------


def wanting(cpus, wishes, running=None, **options):
    """Return a world of tasks on CPUs, each with all its memory on one node.

    ``wishes``: that node, or None for no statistics; task 0 is placed.
    """
    w = World(cpus=cpus, **options)
    for task, node in zip(w.tasks, wishes, strict=True):
        if node is not None:
            w.memory.numa_faults[task.id, st.NumaFaults.MEM, node, 1] = 100
            w.set(task, total=100, preferred=node, counted=1)
    w.running(*(w.tasks if running is None else [w.tasks[n] for n in running]))
    w.set(seq=3)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 3
    w.saw(w.task, {(wishes[0], 1): 1})
    w.end_quantum(100)
    return w


def moves(w):
    """Return ([CPU of each task], moves by source node, swaps by source node)."""
    totals = w.sim.counters()
    names = Vm.NUMA_TASK_MIGRATED, Vm.NUMA_TASK_SWAPPED
    return [task.cpu for task in w.tasks], *(totals[:, name].tolist() for name in names)


NONE = [0, 0, 0]


def test_a_task_goes_to_an_idle_cpu_of_its_preferred_node():
    w = wanting((0,), (1,))
    assert moves(w) == ([2], [1, 0, 0], NONE)
    # It is where it wants to be: update_scan_period leaves its period.
    assert w.sim.numa(w.task).preferred == 1


def test_the_lowest_idle_cpu_is_taken_while_few_run_there():
    """imb_numa_nr is 16 / 8: two may run there, and a difference of 2 is none."""
    few = {"nodes": 2, "cpus_per_node": 16}
    assert moves(wanting((0, 16), (1, None), **few))[0] == [17, 16]
    # The third would be one too many, unless the home runs as many.
    assert moves(wanting((0, 16, 17), (1, None, None), **few))[0] == [0, 16, 17]
    home = wanting((0, 1, 2, 3, 16, 17), (1,) + (None,) * 5, **few)
    assert moves(home)[0] == [18, 1, 2, 3, 16, 17]


def test_where_the_preferred_node_is_too_busy_an_idle_one_is_as_good():
    """2 would run on node 1, none at home; node 2 is no worse: 0 - 0 is enough."""
    assert moves(wanting((0, 2), (1, None))) == ([4, 2], [1, 0, 0], NONE)
    assert moves(wanting((0, 2), (1, None), nodes=2)) == ([0, 2], NONE[:2], NONE[:2])


def test_a_task_that_is_not_running_leaves_its_cpu_idle():
    w = wanting((0, 2), (1, None), [0])
    assert moves(w)[0] == [2, 2]


def test_placement_is_a_setting():
    assert moves(wanting((0,), (1,), placement=False)) == ([0], NONE, NONE)


def test_a_task_at_home_stays():
    assert moves(wanting((0,), (0,))) == ([0], NONE, NONE)


def test_a_full_node_swaps_with_who_wants_to_leave():
    # CPU 2's task is content; CPU 3's wants to node 0.
    w = wanting((0, 2, 3), (1, 1, 0))
    assert moves(w) == ([3, 2, 0], NONE, [1, 0, 0])
    # update_scan_period: task 2 never had a pass over, task 0 is where it wants to be.
    periods = [w.sim.numa(task).period_ms for task in w.tasks]
    assert periods == [NEVER_MS, NEVER_MS, 1000]


def test_a_full_node_of_content_tasks_stays_as_it_is():
    w = wanting((0, 2, 3), (1, 1, 1), nodes=2)
    assert moves(w) == ([0, 2, 3], NONE[:2], NONE[:2])
    # There is a next time, in min(1000, period / 16) ms.
    assert w.sim.numa(w.task).retry_ms == 1100


def test_a_node_with_room_does_not_swap():
    """CPU 2 wants to node 0, but CPU 3 is idle."""
    assert moves(wanting((0, 2), (1, 0), nodes=2)) == ([0, 2], NONE[:2], NONE[:2])


def test_a_swap_must_be_worth_30():
    """No one's statistics: 1000 + 0 for task 0; content partners cost 1000 of 1000."""
    w = World(cpus=(0, 2, 3))
    for task, mem in zip(w.tasks, ((0, 100), (50, 50), (48, 52)), strict=True):
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, :2, 1] = mem
        w.set(task, total=100, preferred=1, counted=1)
    # Task 0: +1000.  CPU 2: 500 - 500; CPU 3: 480 - 520: less by 40; both content:
    # a sixteenth less: 938 and 900.  The first is best.
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(100)
    assert moves(w) == ([2, 0, 3], NONE, [1, 0, 0])


@pytest.mark.parametrize(("share", "swaps"), [(13, False), (17, True)])
def test_small_improvements_are_not_worth_a_swap(share, swaps):
    """Task 0: 500 + 2 x on node 1 against 500 - 2 x: 4 x, and neutral partners."""
    w = World(cpus=(0, 2, 3))
    mem = [(500 - share, 500 + share), (500, 500), (500, 500)]
    for task, pages in zip(w.tasks, mem, strict=True):
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, :2, 1] = pages
        w.set(task, total=1000, preferred=1, counted=1)
    # 26 is less than SMALLIMP; 34 less a sixteenth (2) is 32.
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(100)
    assert moves(w)[2] == ([1, 0, 0] if swaps else NONE)


def test_a_task_shares_a_cpu_where_that_is_no_more_unequal():
    """3 against 2 becomes 2 against 3: the first CPU is as good as any."""
    w = wanting((0, 0, 1, 2, 3), (1, 0, 0, 1, 1), nodes=2)
    assert moves(w) == ([2, 0, 1, 2, 3], [1, 0], NONE[:2])


def test_a_task_does_not_share_a_cpu_where_that_is_more_unequal():
    w = wanting((0, 1, 2, 3), (1, 0, 1, 1), nodes=2)
    assert moves(w) == ([0, 1, 2, 3], NONE[:2], NONE[:2])


def test_a_group_prefers_where_its_task_is_in_the_end():
    """task_numa_migrate sets the preferred node of a grouped task to best or own."""
    w = World(cpus=(0, 2, 3), nodes=2)
    w.group(0, [w.task], mem=[(0, 0), (0, 100)])
    w.memory.numa_faults[0, st.NumaFaults.MEM, 1, 1] = 100
    w.set(total=100, preferred=1)
    for task in w.tasks[1:]:
        w.memory.numa_faults[task.id, st.NumaFaults.MEM, 1, 1] = 100
        w.set(task, total=100, preferred=1, counted=1)
    w.running(*w.tasks)
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(100)
    assert moves(w) == ([0, 2, 3], NONE[:2], NONE[:2])
    assert w.sim.numa(w.task).preferred == 0


def test_tasks_spread_over_their_memory_in_the_end():
    """Two tasks begin on node 0; their memory is on nodes 1 and 2."""
    w = World(
        cpus=(0, 1),
        scan_delay_ms=10,
        scan_size_mb=16,
        scan_period_min_ms=10,
        scan_period_max_ms=40,
        quantum_ns=1_000_000,
        filter="last_nid",
        groups=False,
        vma_pids=False,
    )
    regions = [w.map(64) for _ in w.tasks]
    for node, region in enumerate(regions, 1):
        w.place(region, node)
    loads = [
        Sweep(task=task, region=region, count=40_000, refs=20)
        for task, region in zip(w.tasks, regions, strict=True)
    ]
    w.sim.run(loads)
    nodes = [int(w.sim.machine.cpu_node[task.cpu]) for task in w.tasks]
    homes = [set(w.nodes(region)) for region in regions]
    assert [{node} for node in nodes] == homes
    assert np.all(w.memory.numa[:, st.Numa.PREFERRED] == nodes)
    assert w.sim.summary()["local_fraction_end"] == 1


def test_of_idle_nodes_the_last_wins_where_a_group_is_spread():
    """task_numa_find_cpu takes an idle CPU without a look at what was found before.

    Group of one on nodes 0 and 1 by CPU use; MEM 10, 60, 30.  Node 2 is better than
    home, so its idle CPU replaces that of the preferred node.
    """
    w = World()
    use = FIRST * 2 // 3
    mem, cpu = [(0, 20), (0, 116), (0, 60)], [(0, 0), (0, 2 * use), (0, 0)]
    w.group(0, w.tasks, mem=mem, cpu=cpu)
    (
        w.memory.numa_faults[0, st.NumaFaults.MEM],
        w.memory.numa_faults[0, st.NumaFaults.CPU],
    ) = mem, cpu
    w.set(total=196)
    w.running(w.task)
    placed({(1, 1): 2}, w=w)
    group = w.sim.numa_group(0)
    assert group.faults[st.NumaFaults.MEM, :, 1].tolist() == [10, 60, 30]
    assert (group.active, group.max_cpu) == (2, use)
    assert (w.task.cpu, w.sim.numa(w.task).preferred) == (4, 2)


def test_a_group_on_one_node_goes_to_the_preferred_one():
    w = World()
    mem = [(0, 20), (0, 116), (0, 60)]
    w.group(0, w.tasks, mem=mem)
    w.memory.numa_faults[0, st.NumaFaults.MEM] = mem
    w.set(total=196)
    w.running(w.task)
    placed({(1, 1): 2}, w=w)
    assert (w.task.cpu, w.sim.numa(w.task).preferred) == (2, 1)


# --- the period from 3.13 to 4.13 --------------------------------------------------


@pytest.mark.parametrize(
    ("local", "shared", "private", "new"),
    [
        # Slots of 100.  Seven of ten local, or more: one slot longer, or lr - 7.
        (7, 10, 0, 1100),
        (8, 0, 10, 1100),
        (10, 0, 10, 1300),
        # 3 slots less, times ceil(10 * 4 / 11) = 4 tenths; all private, ten tenths.
        (4, 6, 4, 880),
        (4, 0, 10, 700),
        # What is shared is no reason to hurry.
        (4, 10, 0, 1000),
        (0, 10, 0, 1000),
        (0, 9, 1, 930),
        # Nothing local, nothing shared: twice as long, as ever.
        (0, 0, 10, 2000),
    ],
)
def test_the_new_period_until_4_13(local, shared, private, new):
    w = World(placement=False, scan_period_rule="local_share")
    w = placed({(1, 0): shared, (1, 1): private}, local, w=w)
    assert w.sim.numa(w.task).period_ms == new


@pytest.mark.parametrize(
    ("rule", "new"), [("local_share", 5000), ("statistics", 4900 + 3 * 490)]
)
def test_groups_do_not_stretch_the_limits_until_4_13(rule, new):
    """60,000 ms for 12 windows; four tasks that share it all scan four times less."""
    w = World((0, 1, 2, 3), placement=False, scan_period_rule=rule)
    w.group(0, w.tasks, mem=[(0, 0), (100, 0), (0, 0)])
    placed({(1, 0): 10}, 10, period=4900, w=w)
    assert w.sim.numa(w.task).period_ms == new


@pytest.mark.parametrize(
    ("rule", "moved"), [("local_share", 1000), ("statistics", 2000)]
)
def test_who_moves_begins_at_the_shortest_period_until_4_18(rule, moved):
    """Doubled, because nothing was local or shared; today that is kept at home."""
    w = wanting((0,), (1,), scan_period_rule=rule)
    w.sim.move_task(w.task, 0)
    w.set(period=1000, period_max=60_000, retry=0)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 4
    w.memory.mm[0, st.Mm.RSS] = 1
    w.saw(w.task, {(1, 1): 1})
    w.end_quantum(200)
    assert w.task.cpu == 2
    assert w.sim.numa(w.task).period_ms == moved


def test_move_task_leaves_the_period_until_4_19():
    w = World(scan_period_rule="local_share")
    w.set(period=123, seq=0, preferred=2, counted=1)
    w.sim.move_task(w.task, 2)
    assert w.sim.numa(w.task).period_ms == 123


@pytest.mark.parametrize(
    ("before", "use", "after"),
    [
        # The most is 32,767, of node 3: from 12,288 on a node becomes active ...
        (0b0000, (12_287, 12_288, 0), 0b1010),
        # ... and stays to 6,143.
        (0b0111, (6_142, 6_143, 6_144), 0b1110),
        (0b0001, (6_143, 6_143, 12_287), 0b1001),
    ],
)
def test_where_a_group_runs_was_remembered_until_4_5(before, use, after):
    """update_numa_active_node_mask; one fault of a task on node 3 counts 65,534 / 2."""
    w = World((6,), nodes=4, placement=False, filter="active_nodes")
    w.group(0, w.tasks, cpu=[(2 * one, 0) for one in (*use, 0)], mask=before)
    w.memory.numa_faults[0, st.NumaFaults.CPU] = w.memory.group_faults[0, 1]
    placed({(0, 0): 1}, 1, w=w, group=0)
    row = w.memory.group[0]
    assert row[st.Group.MAX_CPU] == FIRST // 2
    assert row[st.Group.NODES] == after
    assert row[st.Group.ACTIVE] == bin(after).count("1")


def test_a_new_group_runs_where_its_maker_is():
    w = World((2, 3), placement=False, filter="active_nodes")
    w.met(w.tasks[0], w.tasks[1])
    w.end_quantum(10)
    assert w.memory.group[0, st.Group.NODES] == 0b010
