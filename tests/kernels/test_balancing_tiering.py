"""Memory tiers: marks that keep the time, promotion, its limits, and demotion.

Written from should_numa_migrate_memory, numa_promotion_rate_limit and
numa_promotion_adjust_threshold (kernel/sched/fair.c), demote_folio_list (mm/vmscan.c)
of 6.12 and ``docs/model/balancing.md``.
"""

from dataclasses import replace

import pytest

from common.numa_world import BLOCK, HUGE, MS, World
from lazynuma.engine import Mode, Policy
from lazynuma.engine.machines.machine import Machine, from_slit
from lazynuma.engine.machines.presets import preset
from lazynuma.engine.machines.zones import watermarks
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.words import PTE_YOUNG

GIB = 1 << 30


def tiers(fast=64, slow=64, cpus=(0,), mode="both", **options):
    """Return a world of nodes 0 and 1 with a CPU and a slow node 2, of so many blocks.

    None has the 1 GiB to spare that makes everything hot.
    """
    sizes = (fast * HUGE, fast * HUGE, slow * HUGE)
    slit = [[10, 20, 30], [20, 10, 40], [30, 40, 10]]
    machine = from_slit("tiers", sizes, (1, 1, 0), slit, (0, 0, 0))
    machine = replace(machine, tier=(0, 0, 1))
    return World(cpus, machine=machine, mode=mode, **options)


def slow_pages(w, pages=1):
    """Return a region on node 2."""
    region = w.map(pages)
    w.sim.populate(w.task, region)
    w.sim.move_pages(w.task, region, 2)
    assert w.sim.pages_by_node(w.process)[2] >= pages
    return region


def stamp(w, region, ms, pages=1):
    """Mark pages as a scan at a time does."""
    w.hint(region, 0, pages)
    for at in range(pages):
        w.set_word(region, 1 + ms, at)


def at(w, ms):
    """Let it be a time."""
    w.sim.idle(ms * MS - w.sim.now)
    assert w.sim.now == ms * MS


# --- hot and cold ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latency", "hot"), [(0, True), (999, True), (1000, False), (5000, False)]
)
def test_hot_is_less_than_the_threshold_after_the_mark(latency, hot):
    w = tiers()
    region = slow_pages(w)
    at(w, 7000)
    stamp(w, region, 7000 - latency)
    w.touch(region)
    assert w.page(region).node == (0 if hot else 2)
    assert w.refused() == ({} if hot else {"COLD": 1})
    assert w.counts("pgpromote_success", "pgpromote_candidate") == [hot, hot]
    assert w.counts("numa_hint_faults", "numa_pages_migrated") == [1, hot]
    # The candidate counts on the node that it would go to.
    counted = w.sim.counters()
    assert counted[:, Vm.PGPROMOTE_CANDIDATE].tolist() == [hot, 0, 0]
    assert counted[:, Vm.PGPROMOTE_SUCCESS].tolist() == [hot, 0, 0]
    # A page that stays notes the fault; one that came to fast memory has none yet.
    word = w.sim.cpupid(w.process, region.first)
    assert word == (0 if hot else 7001)


def test_the_time_of_a_mark_wraps_around():
    """Latencies are taken modulo 2^30 ms."""
    w = tiers()
    region = slow_pages(w)
    at(w, 100)
    stamp(w, region, (1 << 30) - 100)
    w.touch(region)
    assert w.page(region).node == 0


def test_a_huge_page_is_promoted_as_one():
    w = tiers(thp="always")
    region = slow_pages(w, BLOCK)
    assert w.page(region).pmd
    stamp(w, region, 0)
    w.touch(region)
    assert (w.page(region).node, w.page(region).pmd) == (0, True)
    names = "pgpromote_success", "pgpromote_candidate", "numa_hint_faults"
    assert w.counts(*names) == [512, 512, 1]


def test_two_stages_do_not_matter_in_tiers():
    """Whoever faulted before: the slow page keeps a time; fast ones keep the rules."""
    w = tiers()
    region = slow_pages(w)
    w.grown()
    stamp(w, region, 0)
    w.touch(region, cpu=1)
    assert w.page(region).node == 1
    w.hint(region)
    w.set_last(region, (77, 1))
    w.touch(region, cpu=0)
    assert (w.page(region).node, w.refused()) == (1, {"TWO_STAGE": 1})
    assert w.counts("pgpromote_success") == [1]


def test_tiering_without_normal_moves_nothing_between_fast_nodes_of_itself():
    """Nothing marks them; a mark that is there is a hint fault as any other."""
    w = tiers(mode="tiering")
    region = w.map(1)
    w.place(region, 1)
    w.hint(region)
    w.touch(region)
    assert w.page(region).node == 0


def test_promotion_to_the_node_of_the_cpu_not_the_nearest():
    w = tiers()
    region = slow_pages(w)
    stamp(w, region, 0)
    w.touch(region, cpu=1)
    assert w.page(region).node == 1


@pytest.mark.parametrize(("promoted", "priv"), [(True, 1), (False, None)])
def test_statistics_are_of_fast_memory(promoted, priv):
    """task_numa_fault gets the node where the page is now: a promoted one counts.

    mm/memory.c: nid = target_nid, then task_numa_fault(last_cpupid = -1, nid, ...).
    """
    w = tiers()
    region = slow_pages(w)
    at(w, 5000)
    stamp(w, region, 5000 if promoted else 0)
    w.touch(region)
    seen = w.sim.numa(w.task)
    expected = [[0, 0], [0, 0], [0, 0]]
    if promoted:
        expected[0][priv] = 1
    assert seen.faults[st.NumaFaults.MEMBUF].tolist() == expected
    assert (seen.remote, seen.local) == (int(promoted), 0)


def test_memory_of_nodes_with_cpus_is_fast_though_other_is_faster():
    """top_tier_adistance: the slowest tier that has CPUs, as DRAM beside HBM."""
    w = tiers(mode="tiering", scan_delay_ms=10, scan_period_min_ms=10)
    machine = replace(w.sim.machine, tier=(1, 1, 0))
    w = World(machine=machine, mode="tiering", scan_delay_ms=10)
    region = w.map(64)
    w.place(region, 1)
    home = w.map(1)
    w.place(home, 0)
    w.touch(home, refs=462, count=300)
    assert w.counts("numa_pte_updates") == [0]
    assert w.sim.scan_state(w.process)[0] == 1


# --- room to spare -----------------------------------------------------------------


def roomy(spare):
    """Return a world where node 0 has ``spare`` pages above promo + 1 GiB."""
    machine = preset("dram-cxl", "16G")
    w = World(machine=machine, mode="both", span=4 * GIB)
    row = w.memory.node[0]
    pages = int(machine.memory[0] - machine.system[0]) // 4096
    # promo is one gap above high, and 1 GiB is more than a 16th of 4 GiB.
    marks = watermarks([(m - s) // 4096 for m, s in _sizes(machine)])
    assert row[st.Node.PROMO] == marks[0, 3] and pages // 16 < 1 << 18
    w.memory.node[0, st.Node.FREE] = marks[0, 3] + (1 << 18) + spare
    return w


def _sizes(machine: Machine):
    return list(zip(machine.memory, machine.system, strict=True))


@pytest.mark.parametrize(("spare", "moves"), [(0, False), (1, True), (2, True)])
def test_with_a_gib_to_spare_everything_is_hot(spare, moves):
    w = roomy(spare + 1)
    region = slow_pages(w)
    # Its frame went to node 2: what node 0 has free is as before.
    w.memory.node[0, [st.Node.FREE, st.Node.THRESHOLD]] += [-1, 250]
    assert (
        w.memory.node[0, st.Node.FREE] - w.memory.node[0, st.Node.PROMO]
        == (1 << 18) + spare
    )
    at(w, 9000)
    stamp(w, region, 0)
    w.touch(region)
    assert w.page(region).node == (0 if moves else 2)
    # Not a candidate, not limited; and the threshold begins anew.
    assert w.counts("pgpromote_candidate") == [0]
    assert w.counts("pgpromote_success") == [moves]
    threshold = 1000 if moves else 250
    assert w.sim.tier_state(0)[0] == threshold


# --- limits ------------------------------------------------------------------------


def test_the_promotion_limit_counts_candidates():
    """1 MB/s: the 256th candidate of a second is refused; refused ones count, too."""
    w = tiers(promote_rate_limit_mbps=1)
    region = slow_pages(w, 300)
    stamp(w, region, 0, 300)
    w.touch(region, 0, 300)
    assert w.nodes(region) == [0] * 255 + [2] * 45
    assert w.refused() == {"RATE_LIMIT": 45}
    assert w.counts("pgpromote_candidate", "pgpromote_success") == [300, 255]
    assert w.sim.tier_state(0) == (1000, 300)
    # It is no failure: should_numa_migrate_memory said no.
    assert w.counts("pgmigrate_fail") == [0]
    assert w.sim.numa(w.task).failed == 0


def test_a_promotion_window_ends_after_more_than_a_second():
    """It is found over at the end of a quantum that had a candidate."""
    w = tiers(promote_rate_limit_mbps=1)
    region = slow_pages(w, 310)
    stamp(w, region, 0, 300)
    w.touch(region, 0, 300)
    nodes = []
    for page, time in enumerate((999, 1000, 1002, 1003), 300):
        at(w, time)
        w.hint(region, page)
        w.set_word(region, 1 + time, page)
        w.touch(region, page)
        nodes.append(w.page(region, page).node)
    assert nodes == [2, 2, 2, 0]
    assert w.memory.node[0, [st.Node.PROMOTE_START, st.Node.PROMOTE_BASE]].tolist() == [
        1002,
        303,
    ]
    assert w.refused() == {"RATE_LIMIT": 45 + 3}


def candidates(w, node, new, now_ms):
    """Let a node have seen so many candidates more at a time, and be asked."""
    row = w.memory.node[node]
    row[st.Node.CANDIDATES] += new
    row[st.Node.ASKED] = 1
    w.end_quantum(now_ms)
    return w.sim.tier_state(node)[0]


def test_the_threshold_goes_down_with_too_many_candidates_to_a_unit():
    """256 a second, for a second: more than 281 is too many.  A unit is 125 ms."""
    w = tiers(promote_rate_limit_mbps=1, scan_period_max_ms=1000)
    found = [candidates(w, 0, 282, 1001 + 1001 * n) for n in range(9)]
    assert found == [875, 750, 625, 500, 375, 250, 125, 125, 125]


def test_the_threshold_goes_up_with_too_few_to_twice_the_setting():
    """Less than 256 * 9 / 10, 230, is too few."""
    w = tiers(promote_rate_limit_mbps=1, scan_period_max_ms=1000)
    found = [candidates(w, 0, 229, 1001 + 1001 * n) for n in range(10)]
    assert found == [1125, 1250, 1375, 1500, 1625, 1750, 1875, 2000, 2000, 2000]


@pytest.mark.parametrize("new", [230, 281])
def test_the_threshold_stays_in_between(new):
    w = tiers(promote_rate_limit_mbps=1, scan_period_max_ms=1000)
    assert candidates(w, 0, new, 1001) == 1000


def test_the_threshold_is_adjusted_once_in_scan_period_max():
    w = tiers(promote_rate_limit_mbps=1, scan_period_max_ms=1000)
    assert candidates(w, 0, 300, 1000) == 1000
    assert candidates(w, 0, 0, 1001) == 875
    # 1000 ms later is not more; what came in between counts then.
    assert candidates(w, 0, 300, 2001) == 875
    assert candidates(w, 0, 0, 2002) == 750
    # Other nodes are on their own.
    assert w.sim.tier_state(1)[0] == 1000


def test_units_of_other_thresholds():
    """hot * 2 / 16, in integers: 100 ms has units of 12."""
    w = tiers(promote_rate_limit_mbps=1, scan_period_max_ms=1000, hot_threshold_ms=100)
    found = [candidates(w, 0, 282, 1001 + 1001 * n) for n in range(8)]
    assert found == [88, 76, 64, 52, 40, 28, 16, 12]


# --- kswapd and demotion -----------------------------------------------------------


def fill(w, leave, blocks=80):
    """Return (region, pages) that are bound to node 0 and leave ``leave`` frames.

    None of them is young.
    """
    region = w.map(blocks * BLOCK)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (0,)))
    pages = int(w.sim.free(0)) - leave
    assert w.sim.populate(w.task, region, 0, pages) == pages
    assert w.sim.free(0) == leave
    w.memory.pte[region.first : region.first + pages] &= ~PTE_YOUNG
    return region, pages


def marks(w, node):
    """Return (min, low, high, promo)."""
    row = w.memory.node[node]
    return tuple(
        int(row[n]) for n in (st.Node.MIN, st.Node.LOW, st.Node.HIGH, st.Node.PROMO)
    )


def pressed(demotion=True, mode="both", **options):
    """Return a world where a page more than there were above low woke kswapd."""
    w = tiers(mode=mode, demotion=demotion, **options)
    region, taken = fill(w, marks(w, 0)[1], 160)
    assert w.counts("pageoutrun") == [0]
    w.touch(region, taken)
    assert w.counts("pageoutrun") == [1]
    return w, region, taken


def test_kswapd_demotes_to_the_slow_node_up_to_promo():
    w, _, taken = pressed()
    _, low, high, promo = marks(w, 0)
    assert promo == 2 * high - low
    assert w.sim.free(0) > promo
    gone = w.counts("pgdemote_kswapd")[0]
    assert gone == w.sim.free(0) - (low - 1)
    assert w.counts("pgsteal_kswapd", "pgscan_kswapd") == [gone, gone]
    assert w.counts("pgdemote_direct", "pswpout", "oom_kill") == [0, 0, 0]
    counted = w.sim.counters()
    assert counted[:, Vm.PGDEMOTE_KSWAPD].tolist() == [gone, 0, 0]
    assert counted[:, Vm.PGMIGRATE_SUCCESS].tolist() == [0, 0, gone]
    # To the slow node, not the other fast one, though the policy forbids it.
    assert w.sim.free(2) == 64 * BLOCK - gone and w.sim.free(1) == 64 * BLOCK
    assert w.sim.rss(w.process) == taken + 1
    assert w.counts("pages_moved", "pages_moved_back") == [0, 0]
    w.sim.check()


@pytest.mark.parametrize(("mode", "gone"), [("normal", 109), ("both", 236)])
def test_with_tiering_kswapd_stops_above_promo_in_place_of_high(mode, gone):
    """Marks 403, 483, 563 of 128 blocks; one page too many leaves 402.

    65134 inactive pages: 15, 31 and 63 of them at priorities 12, 11, 10 make 511,
    which is above high; 127 more at priority 9 make 638.
    """
    w, _, _ = pressed(mode=mode, fast=128)
    assert marks(w, 0)[1:] == (403, 483, 563)
    assert w.counts("pgdemote_kswapd", "pgscan_kswapd") == [gone, gone]
    assert w.sim.free(0) == 402 + gone


def test_without_demotion_or_swap_nothing_goes():
    w, _, _ = pressed(demotion=False)
    assert w.counts("pgdemote_kswapd", "pgsteal_kswapd") == [0, 0]
    assert w.sim.free(2) == 64 * BLOCK


def test_pages_that_are_in_use_are_not_demoted():
    w = tiers(demotion=True)
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.pte[region.first : region.first + taken] |= PTE_YOUNG
    w.touch(region, taken)
    assert w.counts("pageoutrun", "pgdemote_kswapd") == [1, 0]


@pytest.mark.parametrize("mode", ["both", "normal"])
def test_a_demoted_page_forgets_its_last_fault_where_its_word_means_another(mode):
    """folio_migrate_flags: reset where the use of access time differs."""
    w = tiers(demotion=True, mode=mode)
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.frame_cpupid[w.page(region).frame : w.page(region).frame + taken] = 1 + 1
    assert w.last(region, 5) == (1, 0)
    w.touch(region, taken)
    gone = [page for page in range(taken) if w.page(region, page).node == 2]
    assert len(gone) == w.counts("pgdemote_kswapd")[0] > 0
    assert {w.last(region, page) for page in gone} == {
        None if mode == "both" else (1, 0)
    }
    stayed = next(page for page in range(taken) if w.page(region, page).node == 0)
    assert w.last(region, stayed) == (1, 0)


@pytest.mark.parametrize(("swap", "stolen"), [(64 << 20, True), (0, False)])
def test_a_slow_node_at_min_takes_nothing(swap, stolen):
    w = tiers(demotion=True, swap_bytes=swap)
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[2, st.Node.FREE] = marks(w, 2)[0]
    w.touch(region, taken)
    assert w.counts("pgdemote_kswapd") == [0]
    assert (w.counts("pswpout")[0] > 0) == stolen
    assert (w.counts("pgsteal_kswapd")[0] > 0) == stolen


def test_a_slow_node_between_min_and_low_takes_what_min_allows():
    w = tiers(demotion=True)
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[2, st.Node.FREE] = marks(w, 2)[0] + 10
    w.touch(region, taken)
    assert w.counts("pgdemote_kswapd") == [10]


def four(tiers_of, **options):
    """Return a world of two fast nodes, and two behind them: node 3 is nearer to 0."""
    slit = [[10, 20, 35, 30], [20, 10, 30, 35], [35, 30, 10, 40], [30, 35, 40, 10]]
    sizes = (64 * HUGE,) * 4
    machine = from_slit("four", sizes, (1, 1, 0, 0), slit, (0, 0, 0, 0))
    machine = replace(machine, tier=tiers_of)
    return World(machine=machine, mode="both", demotion=True, **options)


def test_the_nearest_node_of_the_next_tier_is_the_target():
    w = four((0, 0, 1, 1))
    region, taken = fill(w, marks(w, 0)[1])
    w.touch(region, taken)
    assert w.nodes(region).count(3) == w.counts("pgdemote_kswapd")[0] > 0


@pytest.mark.parametrize("far", [(0, 0, 2, 1), (0, 0, 1, 2)])
def test_the_next_tier_comes_before_a_nearer_node(far):
    w = four(far)
    region, taken = fill(w, marks(w, 0)[1])
    w.touch(region, taken)
    gone = w.counts("pgdemote_kswapd")[0]
    assert w.nodes(region).count(far.index(1)) == gone > 0


def test_the_nearest_node_is_filled_to_min_before_another_is_asked():
    """alloc_demote_folio: first __GFP_THISNODE, which goes down to min, then others."""
    w = four((0, 0, 1, 1))
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[3, st.Node.FREE] = marks(w, 3)[0] + 7
    w.touch(region, taken)
    where = w.nodes(region)
    assert where.count(3) == 7
    assert where.count(2) == w.counts("pgdemote_kswapd")[0] - 7 > 0


def test_another_node_of_the_tier_is_next():
    w = four((0, 0, 1, 1))
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[3, st.Node.FREE] = marks(w, 3)[0]
    w.touch(region, taken)
    assert w.nodes(region).count(2) == w.counts("pgdemote_kswapd")[0] > 0


def test_lower_tiers_are_next():
    """node_get_allowed_targets: every node of a lower tier."""
    w = four((0, 0, 2, 1))
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[3, st.Node.FREE] = marks(w, 3)[0]
    w.touch(region, taken)
    assert w.nodes(region).count(2) == w.counts("pgdemote_kswapd")[0] > 0


def test_demotion_below_low_wakes_kswapd_of_the_target():
    """GFP_NOWAIT has __GFP_KSWAPD_RECLAIM: the slow path wakes it."""
    w = tiers(demotion=True)
    region, taken = fill(w, marks(w, 0)[1])
    w.memory.node[2, st.Node.FREE] = marks(w, 2)[1]
    w.touch(region, taken)
    assert w.sim.counters()[2, Vm.PAGEOUTRUN] >= 1


def test_direct_reclaim_demotes_32_and_what_is_left_of_a_batch():
    w = tiers(demotion=True)
    # As if kswapd had given up.
    w.memory.node[0, st.Node.KSWAPD_FAILURES] = 16
    region, taken = fill(w, marks(w, 0)[0])
    w.touch(region, taken)
    gone = w.counts("pgdemote_direct")[0]
    assert 32 <= gone < 64
    assert w.counts("pgsteal_direct", "allocstall_normal") == [gone, 1]
    # That was progress: kswapd tries again.
    assert w.counts("pageoutrun", "oom_kill") == [1, 0]
    assert w.sim.counters()[:, Vm.PGDEMOTE_DIRECT].tolist() == [gone, 0, 0]
    w.sim.check()


def test_a_failed_promotion_wakes_kswapd_of_the_fast_node():
    w = tiers(demotion=True)
    slow = slow_pages(w)
    fill(w, marks(w, 0)[2] + 1)
    stamp(w, slow, w.sim.now // MS)
    w.touch(slow)
    assert (w.page(slow).node, w.refused()) == (2, {"TARGET_FULL": 1})
    assert w.sim.free(0) > marks(w, 0)[3]
    assert w.counts("pgdemote_kswapd")[0] == w.sim.free(0) - marks(w, 0)[2] - 1
    # It was a candidate; of slow memory there are no statistics.
    assert w.counts("pgpromote_candidate") == [1]
    assert w.sim.numa(w.task).failed == 0
    # Now there is room.
    stamp(w, slow, w.sim.now // MS)
    w.touch(slow)
    assert w.page(slow).node == 0


def test_with_tiering_any_failed_move_wakes_kswapd_of_the_target():
    """migrate_misplaced_folio_prepare asks for the mode, not for the page's node."""
    w = tiers()
    region = w.map(1)
    w.place(region, 1)
    fill(w, marks(w, 0)[2] + 1)
    w.hint(region)
    w.touch(region, cpu=0)
    assert (w.page(region).node, w.refused()) == (1, {"TARGET_FULL": 1})
    assert w.counts("pageoutrun") == [1]


def test_without_tiering_a_failed_move_wakes_nobody():
    w = tiers(demotion=True, mode="normal")
    slow = slow_pages(w)
    fill(w, marks(w, 0)[2] + 1)
    w.hint(slow)
    w.set_last(slow, (1, 0))
    w.touch(slow)
    assert (w.page(slow).node, w.refused()) == (2, {"TARGET_FULL": 1})
    assert w.counts("pageoutrun") == [0]


def test_huge_pages_are_demoted_whole():
    w = tiers(demotion=True, thp="always")
    region = w.map(80 * BLOCK)
    w.sim.mbind(w.task, region, Policy(Mode.BIND, (0,)))
    w.sim.populate(w.task, region, 0, 63 * BLOCK)
    blocks = slice(region.first // BLOCK, region.first // BLOCK + 63)
    w.memory.pmd[blocks] &= ~PTE_YOUNG
    small = w.map(BLOCK)
    w.sim.advise(w.task, small, "nohugepage")
    w.sim.mbind(w.task, small, Policy(Mode.BIND, (0,)))
    w.sim.populate(w.task, small, 0, BLOCK - marks(w, 0)[1])
    w.touch(small, BLOCK - marks(w, 0)[1])
    slow = [at for at in range(63) if w.page(region, at * BLOCK).node == 2]
    assert slow and all(w.page(region, at * BLOCK).pmd for at in slow)
    names = "pgdemote_kswapd", "thp_migration_success", "thp_split_page"
    assert w.counts(*names) == [512 * len(slow), len(slow), 0]
    w.sim.check()
