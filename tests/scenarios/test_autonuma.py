"""Published tables of autonuma-benchmark: their data, what is shown, the what-ifs."""

from dataclasses import replace

import numpy as np
import pytest

from lazynuma.engine import BadInput, Simulation
from lazynuma.engine.run import run_study
from lazynuma.scenarios import autonuma_benchmark
from lazynuma.scenarios.autonuma import beside, programs
from lazynuma.scenarios.autonuma.published import TABLES
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
            khugepaged=first.khugepaged,
            locks=replace(one.settings.locks, anon_vma_alone=True),
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
