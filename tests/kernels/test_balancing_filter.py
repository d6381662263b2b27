"""Hint faults: which of them move a page, what they note, and what moves with it.

Written from kernel/sched/fair.c, mm/memory.c and mm/mempolicy.c of Linux 6.12 and
``docs/model/balancing.md``.  Nodes have two CPUs: node n has 2n and 2n + 1.
"""

import pytest

from common.numa_world import BLOCK, FREE, HUGE, World
from lazynuma.engine import Mode, Policy, preset
from lazynuma.kernels import state as st

#: pid of a task is its number + 1; 77 is nobody's.
ME, OTHER = 1, 77


def fault(old, grown=True, cpu=2, group=None, node=0, write=True, **knobs):
    """Let task 0 take a hint fault on a page of node 0 from CPU 2, of node 1.

    ``old``: (pid, CPU) of the last one.  Return the world and the page's node.
    """
    w = World(**knobs)
    region = w.map(1)
    w.place(region, node)
    if grown:
        w.grown()
    if group:
        w.group(0, w.tasks, **group)
    w.hint(region)
    w.set_last(region, old)
    w.touch(region, cpu=cpu, write=write)
    w.region = region
    return w, w.page(region).node


def answer(*args, **options):
    """Return (page's node, refusals, last fault afterwards)."""
    w, node = fault(*args, **options)
    assert w.counts("numa_hint_faults") == [1]
    assert not w.page(w.region).protnone
    return node, w.refused(), w.last(w.region)


# --- should_numa_migrate_memory, branch by branch ---------------------------------


MOVED = (1, {}, (ME, 2))
TWO_STAGE = (0, {"TWO_STAGE": 1}, (ME, 2))


@pytest.mark.parametrize(
    ("old", "grown", "expected"),
    [
        # Early in life: unset or private at once, however far the last CPU.
        (None, False, MOVED),
        ((ME, 0), False, MOVED),
        ((ME, 4), False, MOVED),
        # ... but another's page must pass the two stages.
        ((OTHER, 0), False, TWO_STAGE),
        ((OTHER, 3), False, MOVED),
        # Later: never faulted before, and no group.
        (None, True, MOVED),
        # The last fault was from elsewhere, even by itself.
        ((ME, 0), True, TWO_STAGE),
        ((ME, 4), True, TWO_STAGE),
        ((OTHER, 4), True, TWO_STAGE),
        # From the same node: private, or without a group.
        ((ME, 3), True, MOVED),
        ((OTHER, 2), True, MOVED),
    ],
)
def test_first_faults_two_stages_private_and_no_group(old, grown, expected):
    assert answer(old, grown) == expected


@pytest.mark.parametrize(
    ("preferred", "seq", "early"),
    [(-1, 4, True), (-1, 9, True), (2, 4, True), (2, 5, False), (0, 5, False)],
)
def test_life_is_early_without_a_preferred_node_or_to_the_fourth_pass(
    preferred, seq, early
):
    w = World()
    region = w.map(1)
    w.place(region, 0)
    w.grown(preferred=preferred, seq=seq)
    w.hint(region)
    w.set_last(region, (ME, 4))
    w.touch(region, cpu=2)
    assert w.page(region).node == int(early)


def grouped(cpu, mem):
    """Return the group's statistics, by (node 0, node 1), all shared."""
    return {
        "cpu": [(cpu[0], 0), (0, cpu[1]), (0, 0)],
        "mem": [(0, mem[0]), (mem[1], 0), (0, 0)],
    }


@pytest.mark.parametrize(
    ("cpu", "mem", "moves"),
    [
        # More than ACTIVE_NODE_FRACTION times the CPU use of the page's node.
        ((100, 301), (0, 1000), True),
        ((100, 300), (0, 1000), False),
        ((0, 1), (0, 1000), True),
        ((0, 0), (0, 0), False),
        # 300 * mem0 * 3 > 100 * mem1 * 4.
        ((100, 300), (4, 9), False),
        ((100, 300), (5, 9), True),
        # Equal use: a quarter less memory there, and the same the other way round.
        ((100, 100), (40, 30), False),
        ((100, 100), (41, 30), True),
        ((100, 100), (30, 30), False),
        ((100, 100), (30, 41), False),
    ],
)
def test_a_group_s_shared_page_goes_by_its_weights(cpu, mem, moves):
    """The second factor is 3 against 4."""
    found = answer((OTHER, 3), group=grouped(cpu, mem))
    if moves:
        assert found == MOVED
    else:
        assert found == (0, {"GROUP_WEIGHT": 1}, (ME, 2))


def test_a_group_does_not_ask_for_private_pages_and_asks_for_new_ones():
    heavy = grouped((100, 0), (0, 100))
    assert answer((ME, 3), group=heavy) == MOVED
    assert answer(None, group=heavy) == (0, {"GROUP_WEIGHT": 1}, (ME, 2))


@pytest.mark.parametrize(
    ("old", "moves"),
    [(None, False), ((ME, 0), False), ((ME, 3), True), ((OTHER, 2), True)],
)
def test_the_filter_of_3_8_wants_the_last_fault_from_the_same_node(old, moves):
    found = answer(old, grown=False, filter="last_nid")
    assert found == (MOVED if moves else TWO_STAGE)


@pytest.mark.parametrize("old", [None, (ME, 0), (OTHER, 5)])
def test_no_filter_lets_all_pass(old):
    assert answer(old, filter="none") == MOVED


def cxl(**options):
    """Return a world on two sockets and a slow node, of which nothing is full."""
    return World(
        machine=preset("dram-cxl", "1G"), costs=FREE, span=HUGE * 64, **options
    )


def slow_fault(old, mode, seq=5, preferred=0):
    w = cxl(mode=mode)
    region = w.map(1)
    w.sim.populate(w.task, region)
    assert w.sim.move_pages(w.task, region, 2).tolist() == [2]
    w.grown(seq=seq, preferred=preferred)
    w.hint(region)
    w.set_last(region, old)
    w.touch(region)
    return w, region


@pytest.mark.parametrize("seq", [0, 5])
def test_slow_memory_without_tiering_needs_a_last_fault(seq):
    w, region = slow_fault(None, "normal", seq, -1)
    assert (w.page(region).node, w.refused()) == (2, {"TWO_STAGE": 1})
    assert w.last(region) == (ME, 0)
    w.hint(region)
    w.touch(region)
    assert w.page(region).node == 0


def test_slow_memory_without_tiering_is_not_counted_before_its_second_fault():
    """task_numa_fault: !node_is_toptier(mem_node) && !cpupid_valid(last): return."""
    w, region = slow_fault(None, "normal")
    assert w.page(region).node == 2
    seen = w.sim.numa(w.task)
    assert (seen.local, seen.remote, int(seen.faults.sum())) == (0, 0, 0)


# --- local faults ---------------------------------------------------------------


@pytest.mark.parametrize(("quirk", "last"), [(False, (OTHER, 5)), (True, (ME, 1))])
def test_a_local_fault_is_not_remembered_since_5_15(quirk, last):
    w, node = fault((OTHER, 5), cpu=1, local_last_cpupid=quirk)
    assert (node, w.refused(), w.last(w.region)) == (0, {}, last)
    assert w.counts("numa_hint_faults", "numa_hint_faults_local") == [1, 1]
    assert w.sim.numa(w.task).local == 1


# --- policies ---------------------------------------------------------------------


NEVER = [
    Policy(Mode.PREFERRED, (1,)),
    Policy(Mode.BIND, (0, 1)),
    Policy(Mode.BIND, (1,)),
    Policy(Mode.INTERLEAVE, (0, 1)),
    Policy(Mode.WEIGHTED_INTERLEAVE, (0, 1), (1, 3)),
    Policy(Mode.PREFERRED_MANY, (0, 1)),
    Policy(Mode.LOCAL),
]


@pytest.mark.parametrize("policy", NEVER)
@pytest.mark.parametrize("of_task", [False, True])
def test_policies_without_the_flag_never_move(policy, of_task):
    w = World()
    region = w.map(1)
    w.place(region, 0)
    if of_task:
        w.sim.set_mempolicy(w.task, policy)
    else:
        w.sim.mbind(w.task, region, policy)
    w.hint(region)
    w.touch(region, cpu=2)
    assert w.page(region).node == 0
    assert (w.refused(), w.last(region)) == ({}, None)
    assert w.counts("numa_hint_faults") == [1]
    # task_numa_fault counts every fault.
    assert w.sim.numa(w.task).remote == 1


@pytest.mark.parametrize("mode", [Mode.BIND, Mode.PREFERRED_MANY])
@pytest.mark.parametrize("of_task", [False, True])
@pytest.mark.parametrize(
    ("nodes", "moves"), [((0, 1), True), ((1,), True), ((0, 2), False)]
)
def test_the_flag_moves_within_the_mask(mode, of_task, nodes, moves):
    w = World()
    region = w.map(1)
    w.place(region, 0)
    policy = Policy(mode, nodes, numa_balancing=True)
    if of_task:
        w.sim.set_mempolicy(w.task, policy)
    else:
        w.sim.mbind(w.task, region, policy)
    w.hint(region)
    w.touch(region, cpu=2)
    assert w.page(region).node == int(moves)
    # Out of the mask the filter is not asked.
    assert w.last(region) == ((ME, 2) if moves else None)


def test_bound_local_memory_is_remembered():
    """MORON without MPOL_PREFERRED asks the filter on local pages, too."""
    w = World()
    region = w.map(1)
    w.place(region, 0)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (0, 1), numa_balancing=True))
    w.hint(region)
    w.touch(region)
    assert (w.page(region).node, w.last(region), w.refused()) == (0, (ME, 0), {})


@pytest.mark.parametrize("quirk", [True, False])
def test_local_faults_are_never_refused(quirk):
    w = World(local_last_cpupid=quirk)
    region = w.map(2)
    w.place(region, 0)
    if not quirk:
        w.sim.mbind(w.task, region, Policy(Mode.BIND, (0, 1), numa_balancing=True))
    w.grown()
    w.hint(region)
    w.set_last(region, (OTHER, 4))
    w.touch(region)
    assert (w.refused(), w.last(region)) == ({}, (ME, 0))


def test_a_vma_s_policy_hides_that_of_the_task():
    w = World()
    region = w.map(1)
    w.place(region, 0)
    w.sim.set_mempolicy(w.task, Policy(Mode.BIND, (0, 1), numa_balancing=True))
    w.sim.mbind(w.task, region, Policy(Mode.PREFERRED, (1,)))
    w.hint(region)
    w.touch(region, cpu=2)
    assert w.page(region).node == 0


# --- what moves along ------------------------------------------------------------


def test_the_last_fault_goes_with_the_page_and_ends_with_the_frame():
    w, node = fault(None, grown=False)
    assert (node, w.last(w.region)) == (1, (ME, 2))
    # move_pages carries it along, a new page in the same frame begins anew.
    assert w.sim.move_pages(w.task, w.region, 2).tolist() == [2]
    assert w.last(w.region) == (ME, 2)
    frame = w.page(w.region).frame
    w.sim.munmap(w.task, w.region)
    again = w.map(1)
    w.place(again, 2)
    assert w.page(again).frame == frame
    assert w.last(again) is None


def test_fork_shares_the_last_fault_and_a_copy_has_none():
    w, _ = fault(None, grown=False)
    child = w.sim.fork(w.process)
    task = w.sim.start_task(child, 4)
    assert w.last(w.region, process=child) == (ME, 2)
    w.touch(w.region, by=task)
    assert w.page(w.region, process=child).mapcount == 1
    assert w.last(w.region, process=child) is None
    assert w.last(w.region) == (ME, 2)


def huge(**options):
    """Return a world with a huge page on node 0, and its region."""
    w = World(thp="always", **options)
    region = w.map(BLOCK)
    w.place(region, 0)
    assert w.page(region).pmd
    return w, region


def test_a_huge_page_is_one_fault_and_512_pages():
    w, region = huge()
    w.hint(region)
    w.touch(region, 17, cpu=2)
    page = w.page(region)
    assert (page.node, page.pmd, page.protnone) == (1, True, False)
    assert w.last(region, 511) == (ME, 2)
    names = "numa_hint_faults", "numa_hint_faults_local", "numa_pages_migrated"
    assert w.counts(*names) == [1, 0, 512]
    assert w.counts("pgmigrate_success", "thp_migration_success") == [512, 1]
    seen = w.sim.numa(w.task)
    assert (seen.remote, seen.local) == (512, 0)
    # Counted where the page is now, as private.
    assert seen.faults[st.NumaFaults.MEMBUF].tolist() == [[0, 0], [0, 512], [0, 0]]
    assert seen.faults[st.NumaFaults.CPUBUF].tolist() == [[0, 0], [0, 512], [0, 0]]


def test_a_refused_huge_page_counts_512_refusals():
    w, region = huge()
    w.grown()
    w.hint(region)
    w.set_last(region, (OTHER, 0))
    w.touch(region, cpu=2)
    assert (w.page(region).node, w.refused()) == (0, {"TWO_STAGE": 512})
    assert w.last(region) == (ME, 2)


def test_a_split_gives_every_page_the_last_fault():
    w, region = huge(unit_hinting=False)
    w.hint(region)
    w.set_last(region, (OTHER, 3))
    w.touch(region, 5, cpu=2)
    assert not w.page(region).huge
    # The exchange was before the split.
    assert {w.last(region, at) for at in range(BLOCK)} == {(ME, 2)}
    assert w.nodes(region).count(1) == 1 and w.page(region, 5).node == 1


def test_a_split_may_lose_marks_or_the_last_fault():
    """Candidates for what kernels of 2012 did; what is known keeps both."""
    w, region = huge(unit_hinting=False, split_marks=False)
    w.hint(region)
    w.set_last(region, (OTHER, 3))
    w.touch(region, 5, cpu=2)
    # No page is marked, so that none takes a fault of its own.
    assert w.nodes(region) == [0] * BLOCK
    w, region = huge(unit_hinting=False, split_last=False)
    w.hint(region)
    w.set_last(region, (OTHER, 3))
    w.touch(region, 5, cpu=2)
    assert w.last(region, 4) in (0, None) and w.last(region, 5) == (ME, 2)


@pytest.mark.parametrize("old", [(OTHER, 0), (ME, 0)])
def test_a_folio_that_does_not_move_is_not_split(old):
    w, region = huge(unit_hinting=False)
    w.grown()
    w.hint(region)
    w.set_last(region, old)
    w.touch(region, 5, cpu=2)
    assert w.page(region).pmd and w.page(region, 5).node == 0
    assert w.refused() == {"TWO_STAGE": 512}


# --- failures ----------------------------------------------------------------------


def full(node=1, spare=0, **options):
    """Return a world where a node has ``spare`` pages above its high watermark."""
    w = World(**options)
    filler = w.map(16 * BLOCK)
    pages = int(w.sim.free(node) - w.memory.node[node, st.Node.HIGH] - spare)
    w.place(filler, node, 0, pages)
    assert w.sim.free(node) == w.memory.node[node, st.Node.HIGH] + spare
    return w


@pytest.mark.parametrize(("spare", "moves"), [(1, False), (2, True)])
def test_a_full_target_is_a_failure(spare, moves):
    """No zone with more than high + nr_pages: TNF_MIGRATE_FAIL."""
    w = full(spare=spare)
    region = w.map(1)
    w.place(region, 0)
    w.hint(region)
    w.touch(region, cpu=2)
    seen = w.sim.numa(w.task)
    assert (seen.remote, seen.failed) == (1, int(not moves))
    assert w.page(region).node == int(moves)
    if not moves:
        assert w.refused() == {"TARGET_FULL": 1}
        # It was remembered, and counts on the node where it stayed.
        assert w.last(region) == (ME, 2)
        assert seen.faults[st.NumaFaults.MEMBUF].tolist() == [[0, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("thp", ["never", "always"])
def test_a_full_target_is_no_failure_of_migrate_pages(thp):
    """migrate_misplaced_folio_prepare fails before migrate_pages is called."""
    w = full(thp=thp)
    region = w.map(BLOCK)
    w.place(region, 0)
    w.hint(region)
    w.touch(region, cpu=2)
    assert w.page(region).node == 0 and w.sim.numa(w.task).failed > 0
    assert w.counts("pgmigrate_fail", "thp_migration_fail") == [0, 0]


def test_the_limit_of_3_8_lets_one_page_more_through():
    """More than the limit noted: limited; 1 MB/s is 25 pages in 100 ms."""
    w = World(migrate_rate_limit_mbps=1, filter="none")
    region = w.map(60)
    w.place(region, 0)
    w.hint(region, 0, 60)
    w.touch(region, 0, 40, cpu=2)
    assert w.nodes(region, 0, 40) == [1] * 26 + [0] * 14
    assert w.refused() == {"RATE_LIMIT": 14}
    assert w.sim.numa(w.task).failed == 14
    # The window is 100 ms long.
    w.sim.idle(101_000_000)
    w.touch(region, 0, 1, refs=10_000)
    w.touch(region, 40, 20)
    assert w.nodes(region, 40, 20) == [1] * 20


def test_1280_mb_a_second_are_64_huge_pages_and_one():
    """32768 pages in 100 ms: the 65th folio still finds no more than that noted."""
    w = World(thp="always", blocks=128, migrate_rate_limit_mbps=1280, filter="none")
    region = w.map(70 * BLOCK)
    w.place(region, 0)
    w.hint(region, 0, 70 * BLOCK)
    w.record(region, [at * BLOCK for at in range(70)])
    assert [w.page(region, at * BLOCK).node for at in range(70)] == [0] * 70
    w.sim.move_task(w.task, 2)
    w.hint(region, 0, 70 * BLOCK)
    w.record(region, [at * BLOCK for at in range(70)])
    moved = [w.page(region, at * BLOCK).node for at in range(70)]
    assert moved == [1] * 65 + [0] * 5
    assert w.refused() == {"RATE_LIMIT": 5 * 512}


# --- task_numa_fault ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "kind"), [(None, 1), ((ME, 3), 1), ((ME, 0), 1), ((OTHER, 0), 0)]
)
def test_what_is_private(old, kind):
    w, node = fault(old)
    expected = [[0, 0]] * 3
    expected[node] = [1 - kind, kind]
    assert w.sim.numa(w.task).faults[st.NumaFaults.MEMBUF].tolist() == expected


def test_pids_are_compared_by_their_low_8_bits():
    assert answer((ME + 256 & 255, 4), grown=False) == MOVED


@pytest.mark.parametrize("active", [1, 2])
@pytest.mark.parametrize("use", [34, 33])
def test_shared_faults_among_active_nodes_are_local(active, use):
    """Active: more than a third of the largest use; 34 * 3 > 100, 33 * 3 is not."""
    group = {"cpu": [(use, 0), (100, 0), (0, 0)], "active": active}
    w, node = fault((OTHER, 0), group=group)
    assert (node, w.refused()) == (0, {"TWO_STAGE": 1})
    seen = w.sim.numa(w.task)
    local = int(active == 2 and use == 34)
    assert (seen.local, seen.remote) == (local, 1 - local)


def test_private_faults_among_active_nodes_are_remote():
    group = {"cpu": [(50, 0), (100, 0), (0, 0)], "active": 2}
    w, _ = fault((ME, 0), group=group)
    assert (w.sim.numa(w.task).local, w.sim.numa(w.task).remote) == (0, 1)


def test_pids_of_a_vma_by_hash_32():
    """hash_32(pid, 6): 0x61C88647 * pid, its top 6 bits: 24, 48 and 9."""
    w = World(cpus=(0, 1, 2))
    region = w.map(4)
    w.place(region, 0)
    w.hint(region, 0, 4)
    row = region.process.vmas[0].numab
    expected = 0
    for task, bit in zip(w.tasks, (24, 48, 9), strict=True):
        w.touch(region, task.id, by=task)
        expected |= 1 << bit
        assert int(w.memory.numab[row, st.Numab.PIDS]) == expected


# --- active nodes (3.15 to 4.5) ----------------------------------------------------


def of_2014(*args, **options):
    return answer(*args, filter="active_nodes", **options)


KEPT = (0, {"GROUP_WEIGHT": 1}, (ME, 2))


@pytest.mark.parametrize(
    ("old", "grown", "expected"),
    [
        # Never faulted before: it moves, early in life or not.
        (None, False, MOVED),
        (None, True, MOVED),
        # Two stages are asked of private pages from the first pass on.
        ((ME, 0), False, TWO_STAGE),
        ((OTHER, 4), False, TWO_STAGE),
        ((ME, 3), True, MOVED),
        ((OTHER, 2), True, MOVED),
    ],
)
def test_two_stages_and_private_pages_until_4_5(old, grown, expected):
    assert of_2014(old, grown) == expected


@pytest.mark.parametrize(
    ("mask", "mem", "moves"),
    [
        # The target, node 1, is not active.
        (0b001, (100, 0), False),
        (0b000, (100, 0), False),
        # The source is not: whatever the memory.
        (0b010, (0, 100), True),
        # Both are: less than three quarters of the memory there.
        (0b011, (100, 74), True),
        (0b011, (100, 75), False),
        # 101 * 3 // 4 is 75.
        (0b111, (101, 74), True),
        (0b111, (101, 75), False),
    ],
)
def test_a_group_keeps_pages_on_its_active_nodes(mask, mem, moves):
    group = grouped((1, 1000), mem) | {"mask": mask}
    assert of_2014((OTHER, 3), group=group) == (MOVED if moves else KEPT)
