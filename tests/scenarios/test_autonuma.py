"""Published tables of autonuma-benchmark: their data, what is shown, the what-ifs."""

from dataclasses import replace

import numpy as np
import pytest

from lazynuma.engine import BadInput, Simulation
from lazynuma.engine.run import run_study
from lazynuma.scenarios import autonuma_benchmark
from lazynuma.scenarios.autonuma import beside, programs
from lazynuma.scenarios.autonuma.every_table import TABLES
from lazynuma.scenarios.autonuma.thread_moves import Exchanges
from lazynuma.scenarios.common.opteron import opteron, spread

GIB = 1 << 30
SECOND = 10**9


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_what_its_claims_ask_for(name):
    table = TABLES[name]
    names = {column.name for column in autonuma_benchmark.COLUMNS}
    for kernel in table.kernels.values():
        assert set(kernel.elapsed) == set(programs.LOADS)
        assert set(kernel.system) <= set(programs.LOADS)
        assert set(kernel.counts) <= names
        assert kernel.settings.locks.enabled and kernel.settings.thp.enabled == "always"
    assert {one for pair in table.ratios for one in pair} <= set(table.kernels)
    assert not table.baseline or table.baseline in table.kernels
    assert bool(table.ratios) == bool(table.change)


def test_kernels_of_one_table_differ_in_rules_alone():
    """All else would be fitted row by row."""
    kernels = [one for table in TABLES.values() for one in table.kernels.values()]
    first = kernels[0].settings
    for one in kernels[1:]:
        same = replace(
            one.settings,
            balancing=first.balancing,
            thp=first.thp,
            calls=first.calls,
            sched=first.sched,
            khugepaged=first.khugepaged,
            locks=replace(one.settings.locks, anon_vma_alone=True, pmd_lock_scope="mm"),
        )
        assert same == first


def rows_of(table, **values):
    """Return rows of a table's kernels for all programs, 1 s and nothing else each."""
    zero = {column.name: 0 for column in autonuma_benchmark.COLUMNS}
    each = zero | {"run_time_ns": SECOND, "system_time_ns": 0, "user_time_ns": 0}
    return [
        each | {"workload": program, "variant": kernel} | values
        for program in programs.LOADS
        for kernel in TABLES[table].kernels
    ]


def test_system_seconds_stand_beside_those_published():
    rows = rows_of("B", system_time_ns=400 * SECOND, user_time_ns=140_276 * SECOND)
    shown = beside.system(TABLES["B"], beside.cells(rows), list(programs.LOADS))
    # Ticks are 94.93 s of so much User time: 494.93 s of a program.
    assert "495 s" in shown and "1.2 %" in shown  # native numa01: 489.09 s
    assert "26.5 %" in shown  # split, together: 1,980 s instead of 1,565.05 s
    assert max(map(len, shown.splitlines())) <= 80


def test_a_program_alone_is_not_compared_with_all_together():
    there = beside.cells(rows_of("B"))
    assert "together" not in beside.system(TABLES["B"], there, ["numa01"])


def test_each_figure_of_a_table_is_a_claim():
    parameters = autonuma_benchmark.Parameters(table="D")
    got = {one.what for one in autonuma_benchmark.claims(parameters, rows_of("D"))}
    assert "numa02, elapsed seconds, 3.9" in got
    assert "all programs, System seconds, 3.9" in got
    assert "numa pte updates, 3.9" in got and len(got) == 4 + 1 + 4


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"kernels": ("thpmigrate",)}, "kernels must be some of off, split, native"),
        ({"table": "D", "kernels": ("off",)}, "kernels must be some of 3.9, got 'off'"),
    ],
)
def test_a_kernel_that_a_table_lacks_is_refused(parameters, message):
    with pytest.raises(BadInput, match=message):
        autonuma_benchmark.build(autonuma_benchmark.Parameters(**parameters))


# --- the write bit (March 2015) -------------------------------------------------------


def test_range_updates_are_those_of_huge_pages_and_few_more():
    """Published: "page range updates" = base updates + 512 x huge updates."""
    for name, ranges in (("3.19", 445_505_831), ("4.0-rc1", 608_880_276)):
        counts = TABLES["4.0-rc1"].kernels[name].counts
        huge = 512 * counts["numa_huge_pte_updates"]
        assert counts["numa_pte_updates"] + huge == ranges


def test_ratios_of_system_seconds_stand_beside_those_published():
    rows = rows_of("4.0-rc1", user_time_ns=0)
    seconds = {"3.19": 100, "4.0-rc1": 400, "noclear": 90, "slowscan": 110}
    for row in rows:
        row["system_time_ns"] = seconds[row["variant"]] * SECOND
    table, there = TABLES["4.0-rc1"], beside.cells(rows)
    shown = beside.system(table, there, list(programs.LOADS))
    assert "4.00" in shown and "3.09" in shown  # numa01: 602.44 over 194.70
    assert "0.94" in shown  # noclear over 3.19: 182.16 over 194.70
    parameters = autonuma_benchmark.Parameters(table="4.0-rc1")
    claims = {one.what: one for one in autonuma_benchmark.claims(parameters, rows)}
    one = claims["numa01, System 4.0-rc1 over 3.19"]
    assert (one.low, one.ours) == (602.44 / 194.70, 4.0)


def test_what_one_kernel_counts_more():
    rows = rows_of("4.0-rc4", system_time_ns=SECOND)
    for row in rows:
        row["pgfault"] = 1000 if row["variant"] == "vmwrite" else 400
    table, there = TABLES["4.0-rc4"], beside.cells(rows)
    assert "2,400" in beside.more(table, there, list(programs.LOADS))
    parameters = autonuma_benchmark.Parameters(table="4.0-rc4")
    claims = {one.what: one for one in autonuma_benchmark.claims(parameters, rows)}
    one = claims["pgfault, vmwrite more than preserve"]
    assert (one.low, one.ours) == (616_019, 2400)
    alone = [row for row in rows if row["variant"] == "vmwrite"]
    assert beside.more(table, beside.cells(alone), list(programs.LOADS)) == ""


def test_each_page_that_is_written_faults_twice_without_its_write_bit():
    """Each mark on a huge page is a hint fault; who stays home writes with a second."""
    parameters = autonuma_benchmark.Parameters(
        shrink=2, workloads=("numa02",), table="4.0-rc4"
    )
    lost, kept = run_study(autonuma_benchmark.build(parameters))
    second = lost["pgfault"] - lost["numa_hint_faults"]
    once = kept["pgfault"] - kept["numa_hint_faults"]
    stayed = lost["numa_hint_faults"] - lost["numa_pages_migrated"] // 512
    assert lost["numa_pages_migrated"] > 0 and stayed > 0
    assert second - once == stayed


# --- what if --------------------------------------------------------------------------


def test_threads_change_their_nodes_as_often_as_asked():
    machine = opteron(12, 4 * GIB)
    simulation = Simulation(machine)
    process = simulation.spawn()
    cpus = spread(simulation, 48)
    tasks = [simulation.start_task(process, cpu) for cpu in cpus]
    daemon = Exchanges(1, tasks, 10 * SECOND)
    simulation.daemons.append(daemon)
    moved, node = np.zeros(48, int), machine.cpu_node
    for _ in range(1000):
        before = [node[task.cpu] for task in tasks]
        simulation.idle(SECOND // 10)
        moved += before != node[[task.cpu for task in tasks]]
        counts = np.bincount([node[task.cpu] for task in tasks], minlength=4)
        assert counts.tolist() == [12, 12, 12, 12]
    # 100 s: ten moves of each thread, in the mean.
    assert moved.mean() == pytest.approx(10, rel=0.05)
    assert sorted(task.cpu for task in tasks) == sorted(cpus)


def small(**what):
    parameters = autonuma_benchmark.Parameters(
        shrink=2, workloads=("numa02",), kernels=("native",), **what
    )
    (row,) = run_study(autonuma_benchmark.build(parameters))
    return row


def test_what_is_bound_stays():
    free, bound = small(), small(stay_share=40)
    assert free["local_fraction_end"] > 0.99
    # Four of ten pages stay on node 0, with a quarter of the threads.
    assert bound["local_fraction_end"] == pytest.approx(1 - 0.4 * 0.75, abs=0.05)
    assert bound["run_time_ns"] > 1.3 * free["run_time_ns"]


def test_memory_follows_threads_that_move():
    row = small(exchange_s=2)
    assert row["numa_pages_migrated"] > 1.5 * small()["numa_pages_migrated"]
