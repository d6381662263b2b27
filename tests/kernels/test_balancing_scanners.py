"""The scanner of each time: what is worked out by hand from the source of each.

task_numa_fault, task_numa_work and task_tick_numa (kernel/sched/fair.c) of balancenuma
v4, 3.8 and 3.10, do_huge_pmd_numa_page and do_pmd_numa_page (mm), migrate_ratelimited
(mm/migrate.c); ``docs/model/balancing.md`` 20.  Nodes have two CPUs: node n has 2n and
2n + 1.  A jiffy is a tick.
"""

from dataclasses import replace

import pytest

from common.numa_world import BLOCK, FREE, MS, World
from lazynuma.engine.settings.profiles import PROFILES
from lazynuma.kernels import state as st
from lazynuma.kernels.counters import Cause
from lazynuma.kernels.words import NUMA_PTE_SCAN_ACTIVE

#: An access of 49,896 ns: 20 fit in a quantum of 1 ms, and leave 2 us of it.
REFS = 462


def old(rule="unmoved_fault", tick=4, **options):
    """Return a world that never scans, with periods of 100 to 1600 ms."""
    knobs = {"scan_period_min_ms": 100, "scan_period_max_ms": 1600, "blocks": 64}
    knobs |= {"filter": "last_nid", "scan_period_rule": rule, "tick_ns": tick * MS}
    w = World(**knobs | options)
    w.set(period=100)
    return w


def faults(w, region, pages):
    """Let a task take hint faults on the first pages of a region; return its period."""
    w.hint(region, 0, pages)
    w.touch(region, 0, pages)
    return w.sim.numa(w.task).period_ms


def away(w, pages):
    """Return a region on node 1; the task is on node 0."""
    region = w.map(pages)
    w.place(region, 1)
    return region


# --- what makes a period longer ----------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "tick", "stay", "move"),
    [
        # jiffies_to_msecs(2) is 8 at HZ 250: 100 + 3 * 8, and 3 * 8 again.
        ("every_fault", 4, 124, 148),
        # 2 at HZ 1000, 20 at HZ 100.
        ("every_fault", 1, 106, 112),
        ("every_fault", 10, 160, 220),
        # jiffies_to_msecs(10), but not for a page that moved: 100 + 3 * 40.
        ("unmoved_fault", 4, 220, 220),
        ("unmoved_fault", 1, 130, 130),
        # Nothing but a placement changes it.
        ("statistics", 4, 100, 100),
    ],
)
def test_small_pages_make_it_longer(rule, tick, stay, move):
    w = old(rule, tick)
    region = away(w, 64)
    # The first fault of a node leaves the page where it is, the second moves it.
    assert faults(w, region, 3) == stay
    assert w.nodes(region, 0, 3) == [1, 1, 1]
    assert faults(w, region, 3) == move
    assert w.nodes(region, 0, 3) == [0, 0, 0]


@pytest.mark.parametrize("period", [1590, 1600, 2000])
def test_it_never_is_longer_than_the_longest(period):
    """min(max, period + 8), for a period that is above the longest, too."""
    w = old("every_fault")
    region = away(w, 64)
    w.set(period=period)
    assert faults(w, region, 3) == 1600


@pytest.mark.parametrize(
    ("rule", "unit", "stay"),
    [
        # Patch 37 of v4 returns before task_numa_fault if the huge page stays; patch
        # 36 accounts it.  3.8 always does.
        ("every_fault", True, 100),
        ("every_fault", False, 108),
        ("unmoved_fault", True, 140),
    ],
)
def test_huge_pages_that_stay(rule, unit, stay):
    w = old(rule, thp="always", unit_hinting=unit)
    region = w.map(BLOCK)
    w.place(region, 0)
    assert faults(w, region, 1) == stay
    assert w.page(region).huge


@pytest.mark.parametrize(
    ("rule", "unit", "move"),
    [
        ("every_fault", True, 108),
        ("unmoved_fault", True, 100),
        # It is split, which is not accounted; the page's own fault follows, and moves.
        ("every_fault", False, 108),
    ],
)
def test_huge_pages_that_move(rule, unit, move):
    w = old(rule, thp="always", unit_hinting=unit)
    region = away(w, BLOCK)
    w.set_last(region, (1, 0))
    assert faults(w, region, 1) == move
    assert w.nodes(region, 0, 2) == ([0, 0] if unit else [0, 1])


def test_limits_are_those_of_the_settings_whatever_the_memory():
    """A TiB is 4096 windows: no matter before 3.13."""
    w = old()
    w.memory.mm[0, st.Mm.RSS] = 1 << 28
    w.set(stamp=0)
    w.end_quantum(200, 196)
    assert w.sim.numa(w.task).period_ms == 100


# --- when a scan runs --------------------------------------------------------------


def scanning(cpus=(0,), **options):
    """Return a world of 1 ms ticks that scans after 10 ms, then every 10 ms.

    The page that tasks work on is at home, and not marked.
    """
    knobs = {"scan_delay_ms": 10, "scan_size_mb": 16, "scan_turns": False}
    knobs |= {"scan_period_min_ms": 10, "scan_period_max_ms": 1000}
    knobs |= {"scan_period_rule": "unmoved_fault", "filter": "last_nid"}
    knobs |= {"placement": False, "groups": False}
    w = World(cpus, **knobs | options)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    return w


def work(w, ms, by=None):
    """Let a task use one page for some ms (at home)."""
    count = ms * MS // (108 * REFS) + 1
    w.touch(w.scrap, 0, 1, by=by, refs=REFS, count=count)


def scans(w):
    return w.sim.numa_scans()[0]


@pytest.mark.parametrize(("turns", "times"), [(False, [11, 22, 33]), (True, [11, 23])])
def test_the_stamp_is_the_runtime(turns, times):
    """node_stamp = now: 11 + 10, 22 + 10; from 3.13 on 10 + 10 + 2."""
    w = scanning(scan_size_mb=1, scan_turns=turns)
    away(w, 8 * BLOCK)
    work(w, 34)
    assert [row[0] for row in w.watch.scans] == times


def test_the_first_of_equal_threads_scans_always():
    """ "its always the same task winning the race" (Zijlstra, 19a78d110d7a)."""
    w = scanning(cpus=(0, 1), scan_stagger=False, scan_size_mb=1)
    assert [w.sim.numa(task).stamp_ns for task in w.tasks] == [0, 0]
    away(w, 16 * BLOCK)
    w.set(w.tasks[1], period=11)
    for _ in range(50):
        for task in w.tasks:
            work(w, 1, by=task)
    charged = w.memory.cause[-1, :, Cause.SCAN]
    assert scans(w) >= 4 and charged.tolist() == [0, 0]


@pytest.mark.parametrize("cap", [False, True])
def test_the_cost_of_a_scan_holds_off_the_next_since_4_5(cap):
    """512 entries of 1000 ns: 32 times that are 16.4 ms."""
    costs = replace(FREE, mark_pte_ns=1000)
    w = scanning(scan_size_mb=1, scan_cost_cap=cap, costs=costs)
    away(w, 8 * BLOCK)
    work(w, 25)
    assert scans(w) == (1 if cap else 2)


@pytest.mark.parametrize(("reset", "period"), [(50, 10), (0, 100)])
def test_a_period_begins_anew_once_in_a_while(reset, period):
    """numa_next_reset is now at the start, so that of the scan at 11 ms is 61 ms.

    The period of 100 ms is over at 112 ms: 10 ms again, and not before 162 ms.
    """
    w = scanning(scan_period_reset_ms=reset)
    work(w, 15)
    assert scans(w) == 1
    w.set(period=100)
    work(w, 98)
    assert (scans(w), w.sim.numa(w.task).period_ms) == (2, period)
    assert w.memory.mm[0, st.Mm.NEXT_RESET] == (162 if reset else 0)


def test_no_scan_before_a_second_node():
    """exec leaves first_nid 0 (mm_alloc): on node 0 nothing is scanned."""
    w = scanning(first_nid=True)
    region = away(w, BLOCK)
    work(w, 30)
    assert (scans(w), w.marked(region)) == (0, 0)
    w.sim.move_task(w.task, 2)
    work(w, 12)
    assert w.memory.mm[0, st.Mm.FIRST_NID] == NUMA_PTE_SCAN_ACTIVE
    done = scans(w)
    assert done >= 1
    w.sim.move_task(w.task, 0)
    work(w, 12)
    assert scans(w) > done


def test_a_forked_child_waits_for_a_second_node_from_wherever_it_runs():
    """dup_mm sets NUMA_PTE_SCAN_INIT: node 1 is its first."""
    w = scanning(first_nid=True)
    child = w.sim.start_task(w.sim.fork(w.process), 2)
    work(w, 30, by=child)
    assert scans(w) == 0
    w.sim.move_task(child, 0)
    work(w, 12, by=child)
    assert scans(w) >= 1


@pytest.mark.parametrize("limited", [False, True])
def test_no_scan_from_a_node_over_its_limit(limited):
    """1 MB/s is 25 pages in 100 ms; the window ends at 100 ms, and then a second."""
    knobs = {"filter": "none", "migrate_rate_limit_mbps": 1}
    w = scanning(scan_limited=limited, **knobs)
    region = away(w, 64)
    w.hint(region, 0, 25)
    w.touch(region, 0, 25)
    assert w.memory.node[0, st.Node.LIMITED_UNTIL] == 1101
    work(w, 30)
    assert scans(w) == (2 if limited else 0)
    w.sim.idle(1080 * MS)
    work(w, 12)
    assert scans(w) >= 1


def test_a_fault_in_a_new_window_ends_it():
    w = scanning(filter="none", migrate_rate_limit_mbps=1, scan_limited=False)
    region = away(w, 64)
    w.hint(region, 0, 25)
    w.touch(region, 0, 25)
    w.sim.idle(150 * MS)
    work(w, 1)
    assert w.memory.node[0, st.Node.LIMITED_UNTIL] == 1101
    w.hint(region, 30)
    w.touch(region, 30)
    assert w.memory.node[0, st.Node.LIMITED_UNTIL] == 0


# --- how far a scan goes, and what it marks ----------------------------------------


@pytest.mark.parametrize("small", [False, True])
def test_vmas_below_2_mib(small):
    w = scanning(scan_small_vmas=small)
    large, less = away(w, BLOCK), away(w, BLOCK - 1)
    work(w, 12)
    assert w.marked(large) == BLOCK
    assert w.marked(less) == (BLOCK - 1 if small else 0)
    # The scrap's VMA has one page.
    assert w.skips() == ({} if small else {"SMALL": 2})


@pytest.mark.parametrize(
    ("counts", "marked"),
    [
        # 256 less 1 for each of four blocks; or a chunk of 512, and the scan is over.
        ("entries", 4),
        ("chunks", 1),
    ],
)
def test_what_counts_against_the_size(counts, marked):
    w = scanning(scan_size_mb=1, scan_counts=counts)
    region = w.map(4 * BLOCK)
    for block in range(4):
        w.place(region, 1, block * BLOCK + 7, 1)
    work(w, 12)
    assert w.marked(region) == marked


def test_entries_that_are_marked_now_end_a_scan():
    """512 of the first block are more than 256."""
    w = scanning(scan_size_mb=1, scan_counts="entries")
    region = away(w, 4 * BLOCK)
    work(w, 12)
    assert w.marked(region) == BLOCK


def test_empty_memory_is_passed_over_in_one_scan():
    """Before 4.4 there is no limit to the virtual pages of a scan."""
    w = scanning(scan_size_mb=1, scan_counts="entries")
    w.map(32 * BLOCK)
    work(w, 12)
    assert w.sim.scan_state(w.process)[:2] == (1, 0)


@pytest.mark.parametrize(("again", "updates"), [(True, 1024), (False, 512)])
def test_a_huge_page_that_is_marked_counts_again(again, updates):
    """change_huge_pmd returns 1 whatever it did, to 3.12 (f123d74abf91)."""
    w = scanning(thp="always", count_marked=again)
    region = w.map(BLOCK)
    w.place(region, 0)
    work(w, 23)
    assert scans(w) == 2
    assert w.counts("numa_pte_updates") == [updates]
    assert w.marked(region) == BLOCK


@pytest.mark.parametrize(
    ("shared", "again", "marked", "updates"),
    [(True, False, 512, 512), (False, False, 0, 0), (False, True, 0, 512)],
)
def test_huge_pages_that_two_processes_map(shared, again, marked, updates):
    """page_mapcount must be 1 to 3.12 (1bc115d87dff); counted is it all the same."""
    w = scanning(thp="always", scan_shared_huge=shared, count_marked=again)
    region = w.map(BLOCK)
    w.place(region, 0)
    w.sim.fork(w.process)
    work(w, 12)
    assert w.marked(region) == marked
    assert w.counts("numa_pte_updates") == [updates]


@pytest.mark.parametrize(("local", "marked"), [(True, 64), (False, 0)])
def test_local_pages_of_one_thread(local, marked):
    w = scanning(scan_local=local)
    region = w.map(64)
    w.place(region, 0)
    work(w, 12)
    assert w.marked(region) == marked


# --- a table of small pages that faults as one -------------------------------------


def table(**options):
    """Return a world that has scanned a block of small pages on node 1."""
    costs = replace(FREE, hint_fault_ns=700)
    w = scanning(pmd_numa=True, costs=costs, **options)
    return w, away(w, BLOCK)


def test_pages_of_one_node_fault_together_twice_and_move():
    """do_pmd_numa_page: 512 faults in one trap; the second time all of them move."""
    w, region = table()
    work(w, 12)
    w.touch(region, 100)
    assert w.counts("numa_hint_faults", "pgfault") == [512, 1 + 512 + 1]
    assert w.marked(region) == 0 and w.nodes(region) == [1] * BLOCK
    assert w.sim.times(w.process)[Cause.HINT_FAULT] == 700
    w.set(period=10)
    work(w, 12)
    assert w.marked(region) == BLOCK
    w.touch(region, 511)
    assert w.counts("numa_hint_faults", "numa_pages_migrated") == [1024, 512]
    assert w.nodes(region) == [0] * BLOCK
    assert w.sim.times(w.process)[Cause.HINT_FAULT] == 1400


@pytest.mark.parametrize(
    ("rule", "move"), [("every_fault", 1000), ("unmoved_fault", 10)]
)
def test_pages_of_a_table_are_accounted_if_they_are_misplaced(rule, move):
    """512 times 2 ms at HZ 1000 are more than the longest of 1000 ms."""
    w, region = table(scan_period_rule=rule)
    work(w, 12)
    w.touch(region, 100)
    assert w.sim.numa(w.task).period_ms == 10
    work(w, 12)
    w.touch(region, 100)
    assert w.counts("numa_pages_migrated") == [512]
    assert w.sim.numa(w.task).period_ms == move


def test_pages_of_two_nodes_fault_alone():
    w, region = table()
    assert w.sim.move_pages(w.task, region, 2, first=5, pages=1).tolist() == [2]
    work(w, 12)
    w.touch(region, 100)
    assert w.counts("numa_hint_faults") == [1]
    assert w.marked(region) == BLOCK - 1


def test_pages_that_others_map_lose_their_mark_uncounted():
    w, region = table()
    work(w, 12)
    w.sim.fork(w.process)
    w.touch(region, 100, write=False)
    assert w.counts("numa_hint_faults") == [0]
    assert w.marked(region) == 0


def test_a_child_takes_its_faults_one_by_one():
    """dup_mm copies marked PTEs, but makes a page table of its own."""
    w, region = table()
    work(w, 12)
    child = w.sim.start_task(w.sim.fork(w.process), 0)
    w.sim.exit(w.process)
    w.touch(region, 100, by=child, write=False)
    assert w.counts("numa_hint_faults") == [1]


# --- the limit of migrations -------------------------------------------------------


@pytest.mark.parametrize(("by_pages", "moved"), [(False, 26), (True, 1)])
def test_a_huge_page_against_the_limit(by_pages, moved):
    """More than 25 noted in 100 ms are too many; to 3.8 a huge page is one of them."""
    knobs = {"filter": "none", "migrate_rate_limit_mbps": 1, "blocks": 128}
    w = old(thp="always", limit_by_pages=by_pages, span=1 << 30, **knobs)
    region = away(w, 30 * BLOCK)
    w.hint(region, 0, 30 * BLOCK)
    for block in range(30):
        w.touch(region, block * BLOCK)
    assert w.counts("numa_pages_migrated") == [moved * 512]


# --- the profiles ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "rule", "least", "most", "reset", "first", "huge_is_one"),
    [
        ("balancenuma-v4", "every_fault", 100, 1600, 0, False, True),
        ("linux-3.8", "unmoved_fault", 100, 5000, 60_000, True, True),
        ("linux-3.9", "unmoved_fault", 100, 5000, 60_000, True, False),
        ("linux-3.13", "local_share", 1000, 60_000, 0, False, False),
        ("linux-6.1", "statistics", 1000, 60_000, 0, False, False),
        ("linux-6.12", "statistics", 1000, 60_000, 0, False, False),
    ],
)
def test_profiles(profile, rule, least, most, reset, first, huge_is_one):
    knobs = PROFILES[profile].balancing
    assert knobs.scan_period_rule == rule
    assert (knobs.scan_period_min_ms, knobs.scan_period_max_ms) == (least, most)
    assert (knobs.scan_period_reset_ms, knobs.first_nid) == (reset, first)
    assert knobs.limit_by_pages != huge_is_one
    before_3_13 = rule in ("every_fault", "unmoved_fault")
    assert knobs.pmd_numa == knobs.count_marked == before_3_13
    assert knobs.scan_turns != before_3_13
    assert knobs.scan_counts == ("entries" if before_3_13 else "chunks")
