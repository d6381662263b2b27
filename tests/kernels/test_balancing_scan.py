"""The scanner of NUMA balancing: when it runs, what it marks, skips and costs.

Written from task_tick_numa and task_numa_work (kernel/sched/fair.c), change_prot_numa
and change_pte_range (mm) of Linux 6.12 and ``docs/model/balancing.md``.
Nodes have two CPUs: node n has 2n and 2n + 1; ticks and quanta are of 1 ms.
"""

from dataclasses import replace

import pytest

from common.kernel_parts import from_python
from common.numa_world import BLOCK, FREE, HUGE, MS, World
from lazynuma.engine import Balancing, Mechanism, Mode, Policy, Sweep, preset, uniform
from lazynuma.kernels import state as st
from lazynuma.kernels.balancing import numa_scan_period
from lazynuma.kernels.counters import Cause

#: An access of 49,896 ns: 20 fit in a quantum of 1 ms, and leave 2 us of it.
REFS = 462


def scanning(cpus=(0,), delay=10, size=16, period=10, **options):
    """Return a world whose tasks scan after ``delay`` ms, then every 12 ms.

    16 MB are all that it maps, and the floor of the period is 1000 / 160: 6 ms.
    """
    options = {"scan_period_min_ms": period, "scan_period_max_ms": 1000} | options
    return World(cpus, scan_delay_ms=delay, scan_size_mb=size, **options)


def slowly(cpus=(0,), windows=17, **options):
    """Return a world that scans 1 MB every 12 ms: 17 windows of it are 4097 pages."""
    return scanning(cpus, size=1, period=10 * windows, **options)


def work(w, ms, by=None, region=None, first=0, pages=1):
    """Let a task use one page for some ms (at home)."""
    count = ms * MS // (108 * REFS) + 1
    region = region or w.scrap
    w.touch(region, first, pages, by=by, refs=REFS, count=count)


def remote(w, pages, node=1):
    """Return a region on a node where the task is not; w.scrap is its first page."""
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    region = w.map(pages)
    w.place(region, node)
    return region


# --- windows and periods -----------------------------------------------------------


GB = 1 << 18


task_scan_min = from_python(numa_scan_period.task_scan_min)
task_scan_start = from_python(numa_scan_period.task_scan_start)
task_scan_max = from_python(numa_scan_period.task_scan_max)


@pytest.mark.parametrize(
    ("rss", "least", "most"),
    [
        (0, 1000, 60_000),
        (1, 1000, 60_000),
        (1 << 16, 1000, 60_000),
        ((1 << 16) + 1, 500, 30_000),
        # 12 windows: 1000 / 12 is 83, the floor 100.
        (3 * GB, 100, 5000),
        # 60 windows.
        (15 * GB, 100, 1000),
        ((15 << 18) + 1, 100, 983),
        # 4096 windows: 60,000 / 4096 is 14.
        (1024 * GB, 100, 100),
    ],
)
def test_periods_by_rss(rss, least, most):
    w = World()
    w.memory.mm[0, st.Mm.RSS] = rss
    parts = task_scan_min, task_scan_start, task_scan_max
    got = [part(w.memory, 0) for part in parts]
    assert got == [least, least, most]


@pytest.mark.parametrize(
    ("size", "rss", "least"),
    [
        # 1000 / (2560 / size), in integers; the size itself may be the whole window.
        (512, 1024 * GB, 200),
        (1024, 1024 * GB, 500),
        (2048, 1024 * GB, 1000),
        (4096, 1024 * GB, 1000),
        (64, 1024 * GB, 25),
        (1, 1024 * GB, 0),
        (1, 3 * 256, 333),
    ],
)
def test_the_floor_is_2560_mb_a_second(size, rss, least):
    w = World(scan_size_mb=size)
    w.memory.mm[0, st.Mm.RSS] = rss
    assert task_scan_min(w.memory, 0) == least


def test_a_longest_period_below_the_shortest_is_as_long():
    w = World(scan_period_min_ms=3000, scan_period_max_ms=2000)
    assert task_scan_max(w.memory, 0) == 3000


@pytest.mark.parametrize(
    ("tasks", "shared", "private", "start", "most"),
    [
        # 100 * 3 * 31 / 40 and 5000 * 3 * 31 / 40
        (3, 30, 9, 232, 11_625),
        (1, 30, 9, 100, 5000),
        (4, 0, 0, 400, 20_000),
        (4, 0, 999, 100, 5000),
    ],
)
def test_groups_scan_slower_the_more_they_share(tasks, shared, private, start, most):
    w = World(cpus=range(tasks))
    w.memory.mm[0, st.Mm.RSS] = 3 * GB
    w.group(0, w.tasks, mem=[(shared // 3, 0), (0, private), (shared - shared // 3, 0)])
    parts = task_scan_min, task_scan_start, task_scan_max
    assert [part(w.memory, 0) for part in parts] == [100, start, most]


# --- when a scan runs --------------------------------------------------------------


def test_a_new_task_waits_for_the_delay():
    w = World(scan_delay_ms=1000)
    found = w.sim.numa(w.task)
    assert (found.period_ms, found.stamp_ns, found.seq) == (1000, 0, 0)
    assert (found.preferred, found.group, found.retry_ms) == (-1, -1, 0)
    assert w.sim.scan_state(w.process) == (0, 0, 1000)


def test_threads_are_staggered_by_milliseconds_taken_for_nanoseconds():
    """min(60000 [ms], 1000 * users * 10^6 [ns]) + 2 ticks."""
    w = World(cpus=(0, 1, 2), scan_delay_ms=1000, tick_ns=4 * MS)
    stamps = [w.sim.numa(task).stamp_ns for task in w.tasks]
    assert stamps == [0, 60_000 + 8 * MS, 60_000 + 8 * MS]


def test_the_stagger_is_taken_modulo_2_to_the_32():
    """12,738,873 * 10^6 is 64 more than a multiple of 2^32."""
    w = World(tick_ns=4 * MS)
    w.set(period=12_738_873)
    assert w.sim.numa(w.sim.start_task(w.process, 1)).stamp_ns == 64 + 8 * MS


def test_a_second_thread_starts_the_delay_anew_a_third_does_not():
    """init_numa_balancing: mm_users is 1 before the second thread is one."""
    w = World(scan_delay_ms=1000)
    w.sim.idle(300 * MS)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 3
    w.sim.start_task(w.process, 1)
    assert w.sim.scan_state(w.process) == (0, 0, 1300)
    w.sim.idle(300 * MS)
    w.memory.mm[0, st.Mm.SCAN_SEQ] = 3
    w.sim.start_task(w.process, 2)
    assert w.sim.scan_state(w.process) == (3, 0, 1300)


def test_threads_inherit_the_preferred_node_and_children_do_not():
    w = World()
    w.set(preferred=1)
    assert w.sim.numa(w.sim.start_task(w.process, 1)).preferred == 1
    child = w.sim.fork(w.process)
    assert w.sim.numa(w.sim.start_task(child, 1)).preferred == -1


def test_scans_come_a_period_and_two_ticks_apart():
    """Runtime must be above stamp + period: 10, then 12 + 10, then 24 + 10 ms."""
    w = slowly()
    region = remote(w, 8 * BLOCK)
    work(w, 50)
    # A window of 1 MB is rounded up to 2 MiB.  The one page before them is at home.
    first = region.first
    assert first == BLOCK
    scans = [(row[0], row[3], row[4]) for row in w.watch.scans]
    assert scans == [(11, 21, 512), (23, 33, 512), (35, 45, 512), (47, 57, 512)]
    # The first chunk begins with the page of the scrap: it had nothing to mark.
    ends = [row[2] - first for row in w.watch.scans]
    assert ends == [BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]
    assert w.marked(region) == 4 * BLOCK
    found = w.sim.numa(w.task)
    assert (found.period_ms, found.stamp_ns) == (10, 48 * MS)


def test_the_first_period_is_the_delay_the_next_that_of_the_memory():
    """The stamp grows by the old period, mm.next_scan by the new one."""
    w = scanning(size=1, period=40)
    remote(w, 8 * BLOCK)
    # 4097 pages are 17 windows of 1 MB: 40 / 17 is 2 ms.
    work(w, 20)
    first = w.watch.scans[0]
    assert (first[0], first[3]) == (11, 13)
    assert w.sim.numa(w.task).period_ms == 2
    # 12 + 2, then 16 + 2: 15 and 19 ms.
    assert [row[0] for row in w.watch.scans] == [11, 15, 19]


def test_ticks_within_a_long_quantum_scan_as_those_between_short_ones():
    """At 11, 23, 35, 47 and 59 ms, whatever quanta there are."""
    w = slowly(quantum_ns=50 * MS)
    region = remote(w, 8 * BLOCK)
    work(w, 60)
    assert len(w.watch.rows) < 15
    assert w.sim.scan_state(w.process) == (0, region.first + 5 * BLOCK, 69)
    assert w.marked(region) == 5 * BLOCK
    assert w.sim.numa(w.task).stamp_ns == 60 * MS


def test_a_scan_waits_for_the_mm_though_the_stamp_moves_on():
    w = slowly()
    remote(w, 8 * BLOCK)
    w.memory.mm[0, st.Mm.NEXT_SCAN] = 30
    work(w, 50)
    # The attempts at 11, 21 and 31 ms cost no ticks while nothing is scanned.
    assert [row[0] for row in w.watch.scans] == [31, 43]


def test_one_of_many_threads_scans():
    w = slowly(cpus=(0, 1), windows=33, placement=False)
    region = remote(w, 16 * BLOCK)
    count = 50 * MS // (108 * REFS) + 1
    loads = [
        Sweep(task=one, region=w.scrap, pages=1, count=count, refs=REFS)
        for one in w.tasks
    ]
    w.sim.run(loads)
    times = [row[0] for row in w.watch.scans]
    # mm.next_scan is a period ahead of whoever came first.
    assert all(b - a >= 10 for a, b in zip(times, times[1:], strict=False))
    # The first chunk has the scrap, too, which is local, but not to all threads.
    assert [row[4] for row in w.watch.scans] == [513] + [512] * (len(times) - 1)
    assert w.marked(region) == 512 * len(times)


def test_idle_tasks_do_not_scan():
    w = scanning()
    region = remote(w, BLOCK)
    w.sim.idle(500 * MS)
    assert w.marked(region) == 0
    # Its runtime is what counts: 5 ms are not enough.
    work(w, 5)
    assert w.marked(region) == 0


def test_off_is_off():
    w = World(mode="off")
    region = remote(w, BLOCK)
    work(w, 30)
    assert w.marked(region) == 0


def test_a_pass_of_64_gib_takes_25_seconds_and_more():
    """256 MB in 100 ms of one mm: a TiB takes at least 410 s."""
    machine = uniform(2, "66G", 1)
    w = World(
        machine=machine,
        thp="always",
        quantum_ns=50 * MS,
        scan_delay_ms=1000,
        tick_ns=4 * MS,
        span=65 << 30,
    )
    region = w.map(64 * GB)
    w.sim.populate(w.task, region)
    assert w.sim.huge_pages(w.process) == 64 * GB
    # An access of 9,999,936 ns, so that five fill a quantum: 32 s.
    w.touch(region, 0, 1, refs=92_592, count=3200)
    scans = w.watch.scans
    first = scans[0][0]
    over = next(row for row in w.watch.rows if row[1])
    assert 1000 < first <= 1060
    # Period, two ticks, and the time to the next one; nothing was charged.
    assert 25_600 <= over[0] - first <= 256 * (100 + 8 + 4)
    # Since then it is slower: the one page that was used is private.
    assert w.sim.numa(w.task).period_ms == 100 + 3 * 10
    for time, _, _, _, _ in scans:
        marked = sum(row[4] for row in scans if row[0] <= time)
        assert marked <= ((time - first) // 100 + 1) * (1 << 16)


# --- how far a scan goes -----------------------------------------------------------


def test_a_chunk_ends_with_a_block():
    """3 MB are rounded up to 4 MiB; the period's floor is 1000 / 853: 1 ms."""
    w = scanning(size=3, period=60)
    region = remote(w, 8 * BLOCK)
    work(w, 13)
    assert [row[4] for row in w.watch.scans] == [1024]
    assert w.marked(region, 0, 1024) == 1024


def test_a_chunk_with_one_entry_is_charged_whole():
    w = slowly(windows=1)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    region = w.map(8 * BLOCK)
    for block in range(8):
        w.place(region, 1, block * BLOCK + 7, 1)
    work(w, 30)
    rows = [(row[4], row[2] - region.first) for row in w.watch.scans]
    assert rows == [(1, BLOCK), (1, 2 * BLOCK)]


def test_empty_memory_is_passed_over_eight_times_as_fast():
    """virtpages is 8 * 256; chunks are 2 MiB, and 4 of them use it up."""
    w = slowly(windows=1)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    region = w.map(32 * BLOCK)
    work(w, 30)
    offsets = sorted({row[2] for row in w.watch.rows})
    # The scrap's one page comes off, too: three chunks leave 511 of 2048.
    assert offsets == [0, region.first + 4 * BLOCK, region.first + 8 * BLOCK]


def test_the_end_of_the_address_space_is_a_pass():
    w = scanning()
    region = remote(w, 4 * BLOCK)
    work(w, 30)
    # All of it in one scan: the list is at its end, offset 0 again.
    assert [row[:3] for row in w.watch.scans] == [(11, 1, 0)]
    assert w.sim.scan_state(w.process)[:2] == (2, 0)
    assert w.marked(region) == 4 * BLOCK


def test_a_window_that_ends_with_the_last_vma_ends_the_pass_next_time():
    w = scanning(size=2, period=20)
    region = remote(w, BLOCK)
    work(w, 15)
    assert w.sim.scan_state(w.process)[:2] == (0, region.first + BLOCK)
    work(w, 10)
    assert w.sim.scan_state(w.process)[0] >= 1


# --- what a scan marks -------------------------------------------------------------


def one_scan(w, **options):
    """Let one scan of everything happen."""
    work(w, 13, **options)


def test_a_single_threaded_process_s_local_pages_are_left_alone():
    w = scanning()
    region = remote(w, 64)
    local = w.map(64)
    w.place(local, 0)
    one_scan(w)
    assert (w.marked(region), w.marked(local)) == (64, 0)
    assert w.counts("numa_pte_updates", "numa_huge_pte_updates") == [64, 0]


def test_two_threads_have_local_pages_marked():
    w = scanning(cpus=(0, 4))
    region = remote(w, 64)
    local = w.map(64)
    w.place(local, 0)
    one_scan(w)
    assert (w.marked(region), w.marked(local)) == (64, 64)


def test_pages_shared_by_fork_are_left_alone_until_they_are_not():
    w = scanning()
    region = remote(w, 64)
    child = w.sim.fork(w.process)
    one_scan(w)
    assert w.marked(region) == 0
    w.sim.exit(child)
    work(w, 12)
    assert w.marked(region) == 64


def huge(mode="normal", **options):
    """Return a world of huge pages that scans it all, and a huge page at home."""
    w = scanning(mode=mode, thp="always", **options)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    region = w.map(BLOCK)
    w.place(region, 0)
    return w, region


def test_local_huge_pages_are_marked():
    w, region = huge()
    one_scan(w)
    assert w.marked(region) == BLOCK
    assert w.counts("numa_pte_updates", "numa_huge_pte_updates") == [512, 1]


def test_huge_pages_shared_by_fork_are_marked():
    w, region = huge()
    w.sim.fork(w.process)
    one_scan(w)
    assert w.page(region).mapcount == 2
    assert w.marked(region) == BLOCK


def test_the_huge_zero_page_is_left_alone():
    w, region = huge()
    zero = w.map(BLOCK)
    w.touch(zero, write=False)
    assert w.page(zero).kind == "zero" and w.page(zero).pmd
    one_scan(w)
    assert w.counts("numa_huge_pte_updates") == [1]
    assert not w.page(zero).protnone


def test_a_huge_page_that_is_partly_covered_is_split():
    w, region = huge(cpus=(0, 1))
    w.memory.mm[0, st.Mm.SCAN_OFFSET] = region.first + 100
    one_scan(w)
    assert w.counts("thp_split_pmd", "thp_split_page") == [1, 0]
    assert w.counts("numa_pte_updates", "numa_huge_pte_updates") == [412, 0]
    assert w.marked(region) == 412 == w.marked(region, 100)
    assert w.page(region, 99).huge and not w.page(region, 99).pmd


def test_a_marked_page_is_not_marked_again():
    w = scanning()
    region = remote(w, 64)
    work(w, 50)
    assert w.counts("numa_pte_updates") == [64]
    assert w.marked(region) == 64


@pytest.mark.parametrize("mode", ["tiering", "both", "normal"])
def test_fast_memory_is_marked_only_with_normal(mode):
    machine = preset("dram-cxl", "1G")
    w = World(
        machine=machine, mode=mode, scan_delay_ms=10, scan_size_mb=64, span=64 * HUGE
    )
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    fast, slow = w.map(10), w.map(10)
    w.place(fast, 1)
    w.place(slow, 0)
    assert w.sim.move_pages(w.task, slow, 2).tolist() == [2] * 10
    one_scan(w)
    assert w.marked(slow) == 10
    assert w.marked(fast) == (0 if mode == "tiering" else 10)
    # Marked at 11 ms; in normal mode nobody stamps.
    word = 0 if mode == "normal" else 12
    assert w.sim.cpupid(w.process, slow.first) == word
    assert w.sim.cpupid(w.process, fast.first) == 0


def test_untouched_and_swapped_pages_are_not_marked():
    w = scanning(swap_bytes=HUGE)
    region = remote(w, 64)
    assert w.sim.mark(w.task, region, Mechanism.SWAPCACHE, first=0, pages=10) == 10
    w.map(100)
    one_scan(w)
    assert w.counts("numa_pte_updates") == [54]


# --- VMAs that are passed over -----------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [
        Policy(Mode.PREFERRED, (1,)),
        Policy(Mode.BIND, (0, 1)),
        Policy(Mode.INTERLEAVE, (0, 1)),
        Policy(Mode.PREFERRED_MANY, (1,)),
        Policy(Mode.LOCAL),
    ],
)
def test_policies_without_the_flag_are_unsuitable(policy):
    w = scanning()
    region = remote(w, 64)
    w.sim.mbind(w.task, region, policy)
    one_scan(w)
    assert w.skips() == {"UNSUITABLE": 1}
    assert w.marked(region) == 0


@pytest.mark.parametrize("mode", [Mode.BIND, Mode.PREFERRED_MANY])
def test_the_flag_makes_a_vma_suitable(mode):
    w = scanning()
    region = remote(w, 64)
    w.sim.mbind(w.task, region, Policy(mode, (0, 1), numa_balancing=True))
    one_scan(w)
    assert (w.skips(), w.marked(region)) == ({}, 64)


def test_the_policy_of_the_scanning_task_counts():
    w = scanning()
    region = remote(w, 64)
    w.sim.set_mempolicy(w.task, Policy(Mode.INTERLEAVE, (0, 1)))
    one_scan(w)
    assert (w.skips(), w.marked(region)) == ({"UNSUITABLE": 2}, 0)


@pytest.mark.parametrize("vma_pids", [True, False])
def test_what_nobody_may_read_is_inaccessible(vma_pids):
    w = scanning(vma_pids=vma_pids)
    region = remote(w, 64)
    w.sim.mprotect(w.task, region, "none")
    one_scan(w)
    assert w.skips() == {"INACCESSIBLE": 1}
    assert w.counts("numa_pte_updates") == [0]


def test_read_only_memory_is_scanned():
    w = scanning()
    region = remote(w, 64)
    w.sim.mprotect(w.task, region, "r")
    one_scan(w)
    assert (w.skips(), w.marked(region)) == ({}, 64)


def test_a_new_vma_waits_for_the_delay_but_not_in_the_first_pass():
    # Scans at 21, 33, 45, 57 ms, of everything.
    w = scanning(delay=20)
    early = remote(w, 64)
    work(w, 22)
    assert w.marked(early) == 64 and w.sim.scan_state(w.process)[0] == 1
    late = w.map(64)
    w.place(late, 1)
    work(w, 12)
    # The old ones were met at 21, and wait until 41, too.
    assert passes(w) == {21: 1, 33: 2} and w.skips() == {"SCAN_DELAY": 3}
    state = w.memory.numab[late.process.vmas[-1].numab]
    assert (state[st.Numab.START_SEQ], state[st.Numab.PREV_SEQ]) == (1, 0)
    assert (state[st.Numab.NEXT_SCAN], state[st.Numab.RESET]) == (53, 133)
    assert w.marked(late) == 0
    work(w, 12)
    assert (w.skips(), w.marked(late)) == ({"SCAN_DELAY": 4}, 0)
    work(w, 12)
    assert w.marked(late) == 64


def test_the_delay_is_of_6_4():
    w = scanning(delay=20, vma_pids=False)
    remote(w, 64)
    work(w, 22)
    late = w.map(64)
    w.place(late, 1)
    work(w, 12)
    assert (w.skips(), w.marked(late)) == ({}, 64)


def passes(w):
    """Return {ms: passes} where the number of passes changed."""
    found, last = {}, 0
    for row in w.watch.rows:
        if row[1] != last:
            found[row[0]] = last = row[1]
    return found


def test_a_vma_that_nobody_uses_is_skipped_then_forced():
    """Scans of all: passes 0 and 1 always; then by pids, one VMA forced at the end."""
    w = scanning()
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    idle = w.map(64)
    w.place(idle, 1)
    used = w.process.vmas[0].numab
    work(w, 13)
    assert passes(w) == {11: 1}
    work(w, 12)
    assert passes(w) == {11: 1, 23: 2} and w.skips() == {}
    # pid 1's bit says that the scrap is used.
    w.memory.numab[used, st.Numab.PIDS] = 1 << 24
    work(w, 12)
    # At 35: the idle one is passed over; once more: the scrap is done, it is forced.
    assert w.skips() == {"PID_INACTIVE": 1, "SEQ_COMPLETED": 1}
    assert w.sim.scan_state(w.process)[:2] == (2, idle.first + 64)
    assert [int(row[st.Numab.PREV_SEQ]) for row in w.memory.numab] == [2, 2]
    work(w, 12)
    # At 47: nothing behind the offset: pass 3, and the same again.
    assert w.skips() == {"PID_INACTIVE": 2, "SEQ_COMPLETED": 2}
    assert w.sim.scan_state(w.process)[:2] == (3, idle.first + 64)


def test_a_vma_that_was_forced_first_leaves_the_others_done():
    """Scans at 35, 47, 59: the first is forced; nothing is left to do; and again."""
    w = scanning()
    idle = w.map(64)
    w.place(idle, 1)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    work(w, 25)
    assert passes(w) == {11: 1, 23: 2} and w.skips() == {}
    w.memory.numab[w.process.vmas[1].numab, st.Numab.PIDS] = 1 << 24
    found = []
    for _ in range(3):
        work(w, 12)
        skips = w.skips()
        found.append(
            (
                *w.sim.scan_state(w.process)[:2],
                skips.get("PID_INACTIVE", 0),
                skips.get("SEQ_COMPLETED", 0),
            )
        )
    assert found == [(2, 64, 1, 0), (3, 0, 1, 1), (3, 64, 2, 1)]


def test_pids_from_before_a_vma_was_met_do_not_count():
    """vma_set_access_pid_bit: nothing without numab_state."""
    w = scanning()
    w.scrap = w.map(2)
    w.place(w.scrap, 0)
    w.hint(w.scrap, 1)
    w.touch(w.scrap, 1)
    work(w, 13)
    row = w.memory.numab[w.process.vmas[0].numab]
    assert (row[st.Numab.MET], row[st.Numab.PIDS], row[st.Numab.OLD_PIDS]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("pids", "old", "users", "prev", "offset", "scanned"),
    [
        (0, 0, 1, 4, 0, False),
        # hash_32(1, 6) is 24; 25 is not.
        (1 << 24, 0, 1, 4, 0, True),
        (0, 1 << 24, 1, 4, 0, True),
        (1 << 25, 1 << 25, 1, 4, 0, False),
        # A pass more than there are threads was missed.
        (0, 0, 1, 3, 0, True),
        (0, 0, 2, 3, 0, False),
        (0, 0, 2, 2, 0, True),
        # Begun before.
        (0, 0, 1, 4, 1, True),
    ],
)
def test_who_is_active(pids, old, users, prev, offset, scanned):
    """Pass 5 of a VMA that was met in pass 0; the next VMA is in use."""
    w = scanning(cpus=range(users))
    first, second = w.map(64), w.map(64)
    for region in (first, second):
        w.place(region, 1)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    w.sim.mbind(w.task, w.scrap, Policy(Mode.LOCAL))
    numab, rows = w.memory.numab, [vma.numab for vma in w.process.vmas[:2]]
    numab[rows, st.Numab.MET], numab[rows, st.Numab.RESET] = 1, 1000
    numab[rows, st.Numab.PREV_SEQ] = prev, 4
    numab[rows, st.Numab.PIDS] = pids, 1 << 24
    numab[rows, st.Numab.OLD_PIDS] = old, 0
    w.set(seq=5)
    columns = [st.Mm.SCAN_SEQ, st.Mm.NEXT_SCAN, st.Mm.SCAN_OFFSET]
    w.memory.mm[0, columns] = 5, 10, first.first + offset
    one_scan(w)
    # Passed over, it is forced, from where the scan began; the scan ends behind it.
    expected = {"UNSUITABLE": 1} | ({} if scanned else {"PID_INACTIVE": 1})
    assert w.skips() == expected
    state = (6, 0) if scanned else (5, first.first + 64)
    assert w.sim.scan_state(w.process)[:2] == state
    assert w.marked(first) == w.marked(first, offset) == 64 - offset
    assert w.marked(second) == 64


def test_pids_are_forgotten_after_four_delays_and_four_more():
    w = scanning(delay=10)
    w.scrap = w.map(1)
    w.place(w.scrap, 0)
    row = w.scrap.process.vmas[0].numab
    work(w, 13)
    # Met at 11: reset at 11 + 10 + 40.
    assert w.memory.numab[row, st.Numab.RESET] == 61
    w.memory.numab[row, st.Numab.PIDS] = 5 | 1 << 24
    work(w, 46)
    state = w.memory.numab[row]
    assert (state[st.Numab.PIDS], state[st.Numab.OLD_PIDS]) == (5 | 1 << 24, 0)
    # Scans at 59, then 71: later than 61.
    work(w, 14)
    state = w.memory.numab[row]
    assert (state[st.Numab.PIDS], state[st.Numab.OLD_PIDS]) == (0, 5 | 1 << 24)
    assert state[st.Numab.RESET] == 101
    work(w, 36)
    state = w.memory.numab[row]
    assert (state[st.Numab.PIDS], state[st.Numab.OLD_PIDS]) == (0, 0)
    assert state[st.Numab.RESET] == 141


# --- what it costs -----------------------------------------------------------------


def test_a_scan_is_charged_and_32_times_that_is_waited_for():
    """512 entries at 100 ns and a flush of 1000 ns; the stamp moves 32 times 52,200."""
    costs = replace(FREE, mark_pte_ns=100, tlb_flush_ns=1000, tlb_flush_cpu_ns=200)
    w = slowly(costs=costs)
    remote(w, 8 * BLOCK)
    w.memory.cause[:] = 0
    work(w, 13)
    times = w.sim.times(w.process)
    assert times[Cause.SCAN] == 52_200
    assert w.sim.numa(w.task).stamp_ns == 12 * MS + 32 * 52_200
    # 12 + 1.6704 + 10: the next one at 24 ms.
    work(w, 13)
    assert [row[0] for row in w.watch.scans] == [11, 24]


def test_other_threads_make_the_flush_dearer():
    costs = replace(FREE, mark_pte_ns=100, tlb_flush_ns=1000, tlb_flush_cpu_ns=200)
    w = slowly(cpus=(0, 1, 2), costs=costs)
    remote(w, 8 * BLOCK)
    work(w, 13)
    # The scrap is marked, too: it is local, but not to all threads.
    assert w.sim.times(w.process)[Cause.SCAN] == 513 * 100 + 2 * (1000 + 2 * 200)


def test_a_huge_entry_costs_one_and_nothing_marked_costs_nothing():
    costs = replace(FREE, mark_pte_ns=100, tlb_flush_ns=1000)
    w, region = huge(costs=costs)
    one_scan(w)
    assert w.sim.times(w.process)[Cause.SCAN] == 1100
    work(w, 12)
    assert w.sim.times(w.process)[Cause.SCAN] == 1100


def test_defaults_are_those_of_6_12():
    knobs = Balancing()
    assert (knobs.scan_delay_ms, knobs.scan_size_mb) == (1000, 256)
    assert (knobs.scan_period_min_ms, knobs.scan_period_max_ms) == (1000, 60_000)
    assert (knobs.hot_threshold_ms, knobs.promote_rate_limit_mbps) == (1000, 65_536)
    assert (knobs.migrate_rate_limit_mbps, knobs.filter) == (0, "last_cpupid")
    assert (knobs.mode, knobs.demotion) == ("off", False)
