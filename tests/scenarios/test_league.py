"""The league: its machines and workloads, what it counts, and what it prints."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.small_scenarios import SMALL
from lazynuma.engine import BadInput, Costs
from lazynuma.engine.run import run_study
from lazynuma.engine.simulation import Simulation
from lazynuma.scenarios import league, tiering_policies
from lazynuma.scenarios.cli import commands
from lazynuma.scenarios.contest.graph_and_grid import bfs_access, xsbench_access
from lazynuma.scenarios.contest.league_table import agreed, by_names, known, means
from lazynuma.scenarios.contest.published_orders import (
    ORDERS,
    READ,
    REMEMBERED,
    WHY,
)
from lazynuma.scenarios.contest.tier_ledger import NONE, TierLedger
from lazynuma.scenarios.contest.tiered_loads import LOADS, start
from lazynuma.scenarios.contest.tiered_machines import (
    MACHINES,
    fast_nodes,
    fast_pages,
)

MIB = 1 << 20


# --- the ledger -----------------------------------------------------------------------


class _Region:
    pages = 4


def ledger() -> TierLedger:
    return TierLedger(_Region(), (0, 1), 0, 1)


def told(one: TierLedger, *looks: list[int]) -> tuple[int, int, int]:
    for look in looks:
        one.note(np.array(look, np.int8))
    return one.promoted, one.demoted, one.moved_back


def test_a_page_that_is_new_has_not_moved():
    assert told(ledger(), [0, 1, NONE, 0], [0, 1, 1, 0]) == (0, 0, 0)


def test_a_page_moves_back_when_it_comes_to_the_tier_that_it_left():
    assert told(ledger(), [1, 1, 0, 0], [0, 1, 1, 0]) == (1, 1, 0)
    assert told(ledger(), [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]) == (2, 2, 2)


def test_each_return_counts():
    back = [[1, 0, 0, 0], [0, 0, 0, 0]] * 3
    assert told(ledger(), *back)[2] == 4


def test_a_page_that_is_away_is_remembered():
    assert told(ledger(), [0] * 4, [1, 0, 0, 0], [NONE, 0, 0, 0], [0] * 4) == (1, 1, 1)


def test_the_third_tier_is_no_return():
    one = TierLedger(_Region(), (0, 1, 2), 0, 1)
    assert told(one, [0] * 4, [1, 0, 0, 0], [2, 0, 0, 0])[2] == 0
    assert told(one, [1, 0, 0, 0])[2] == 1


def test_it_counts_what_is_drawn_at_random():
    rng, one = np.random.default_rng(3), ledger()
    looks = rng.integers(-1, 2, (50, 4))
    for look in looks:
        one.note(look.astype(np.int8))
    moves = 0
    for page in looks.T:
        there = page[page >= 0]
        moves += np.count_nonzero(np.diff(there))
    assert one.promoted + one.demoted == moves
    # With two tiers every move of a page but its first one is a return.
    moved = sum(len(set(page[page >= 0])) > 1 for page in looks.T)
    assert one.moved_back == moves - moved


# --- machines and workloads -----------------------------------------------------------


@pytest.mark.parametrize("name", MACHINES)
def test_machines_have_two_tiers(name):
    machine = MACHINES[name](256 * MIB, 32)
    assert machine.name == name and set(machine.tier) == {0, 1}
    assert sum(machine.cpus) == 32 and 0 < fast_pages(machine) < 65_536
    fast = fast_nodes(machine)
    slow = [node for node in range(machine.nodes) if node not in fast]
    assert max(machine.bandwidth[0, slow]) < min(machine.bandwidth[0, fast])


def test_shares_of_tiers_are_those_of_the_names():
    for name, share in (("cxl-1to1", 1 / 2), ("cxl-1to4", 1 / 5), ("2s-cxl", 1 / 2)):
        machine = MACHINES[name](400 * MIB, 8)
        fast = sum(machine.memory[node] for node in fast_nodes(machine))
        assert abs(fast / sum(machine.memory) - share) < 0.01


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", LOADS)
def test_workloads_fit_and_load_all_their_memory(name, machine):
    made, load = MACHINES[machine](64 * MIB, 4), LOADS[name]
    simulation = Simulation(made)
    job = start(simulation, load, 4)
    load.fill(simulation, job)
    assert simulation.rss(job.process) == load.pages(made) == job.region.pages
    assert simulation.oom_kills == 0
    homes = {int(made.cpu_node[task.cpu]) for task in job.tasks}
    assert len(homes) == min(len(job.tasks), sum(1 for cpus in made.cpus if cpus))


class _Access:
    task, key, now_ns, run_ns, pages = 0, 0x1234, 0, 0, 1000

    def __init__(self, number: int) -> None:
        self.number = number


class _Sizes:
    tree, search = 28, 900
    nuclides, energies = 33, 6


@pytest.mark.parametrize("generate", [bfs_access, xsbench_access])
def test_generators_stay_within_their_pages(generate):
    pages = [generate(_Access(i), _Sizes)[0] for i in range(3000)]
    assert min(pages) >= 0 and max(pages) < 1000
    assert pages == [generate(_Access(i), _Sizes)[0] for i in range(3000)]


def test_a_search_asks_its_tree_eight_times_for_each_row():
    pages = np.array([bfs_access(_Access(i), _Sizes)[0] for i in range(9000)])
    assert (pages < _Sizes.tree).mean() == pytest.approx(8 / 9, abs=0.01)
    first = (pages < 1).mean() / (pages < _Sizes.tree).mean()
    assert first > 5 / _Sizes.tree  # few vertices have most edges


def test_a_lookup_reads_mostly_nuclides():
    pages = np.array([xsbench_access(_Access(i), _Sizes)[0] for i in range(20_000)])
    assert (pages < _Sizes.nuclides).mean() == 0.75
    energies = (pages >= 33) & (pages < 39)
    assert energies.mean() == 0.15
    assert len(set(pages[pages >= 39])) > 500


# --- the scenario ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def study():
    module, parameters = SMALL["league"]
    return module.build(module.Parameters(**parameters))


@pytest.fixture(scope="module")
def rows(study):
    return run_study(study)


def test_every_policy_has_its_row(study, rows):
    parameters = SMALL["league"][1]
    want = len(parameters["workloads"]) * len(parameters["machines"])
    assert len(rows) == want * len(tiering_policies.NAMES)
    assert study.dimension == ("workload", "machine", "policy")


def test_what_did_not_move_did_not_come_back(rows):
    for row in rows:
        assert 0 <= row["fast_share"] <= 1
        moved = row["pages_promoted"] + row["pages_demoted"]
        assert 0 <= row["pages_moved_back"] <= moved
        if row["policy"] in ("none", "weighted_interleave"):
            assert moved == 0


def test_the_matrix_fits_on_a_screen(study, rows):
    text = study.report(study, rows)
    assert max(map(len, text.splitlines())) <= 80
    for policy in tiering_policies.NAMES:
        assert f"\n{policy} " in text
    assert "fastest" in study.verdict(study, rows)
    assert "No comparison with published figures" in text
    assert "published orders" not in study.verdict(study, rows)


def test_a_policy_that_was_killed_is_named_and_left_out(study, rows):
    killed = [
        dict(row) | ({"run_time_ns": float("nan")} if row["policy"] == "tpp" else {})
        for row in rows
    ]
    text = study.report(study, killed)
    assert "killed" in text and np.isnan(means(killed)["tpp"])
    all_killed = [dict(row) | {"run_time_ns": float("nan")} for row in rows]
    assert study.verdict(study, all_killed) == "No policy's work came to an end."


def test_costs_reach_the_crowd():
    parameters = replace(league.Parameters(), **SMALL["league"][1])
    parameters = replace(
        parameters, workloads=("crowded",), policies=("none",), machines=("cxl-1to1",)
    )
    study = league.build(parameters)
    slow = run_study(study, costs=Costs(core_bandwidth=1_000_000_000))
    assert slow[0]["run_time_ns"] > 0 and slow[0]["fast_share"] <= 1


@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [
        ("policies", "hemen", "hemem"),
        ("workloads", "gup", "gups"),
        ("machines", "cxl-1to3", "cxl-1to"),
        ("policies", "none,none", "each once"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(name, wrong, near, capsys):
    assert commands.main(["run", "league", "--set", f"{name}={wrong}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and near in said and wrong.split(",")[0] in said


def test_it_stands_for_no_smaller_machine():
    with pytest.raises(BadInput, match="stands_for must be at least memory"):
        league.build(league.Parameters(memory=1 << 30, stands_for=1 << 29))


# --- published orders -----------------------------------------------------------------


def test_orders_are_of_what_there_is():
    for order in ORDERS:
        assert {order.better, order.worse} <= set(tiering_policies.NAMES)
        assert order.workload in LOADS and order.machine in MACHINES
        assert order.source and order.measured
        assert order.known in (READ, REMEMBERED)
    assert WHY.keys() <= {order[:3] for order in ORDERS}
    pairs = [order[:4] for order in ORDERS]
    assert len(set(pairs)) == len(pairs) >= 20


def test_orders_are_agreed_if_the_better_takes_less_time():
    order = ORDERS[0]
    at = {"workload": order.workload, "machine": order.machine}
    rows = [
        at | {"policy": order.better, "run_time_ns": 1},
        at | {"policy": order.worse, "run_time_ns": 2},
    ]
    found = known(by_names(rows))
    assert [one for one, _ in found] == [order] and agreed(found) == 1
    full = league.build(league.Parameters())
    row = {"fast_share": 0, "pages_promoted": 0, "pages_demoted": 0}
    row |= {"pages_moved_back": 0, "system_time_ns": 0}
    text = full.report(full, [row | one for one in rows])
    assert "Published orders: 1 of 1 come out here as well." in text
    rows[0]["run_time_ns"] = 2
    assert agreed(known(by_names(rows))) == 0


def test_json_has_all_dimensions(capsys):
    line = ["run", "league", "--json", "--set", "memory=32MiB", "--set", "tasks=4"]
    line += [
        "--set",
        "accesses=20",
        "--set",
        "workloads=zipf",
        "--set",
        "policies=none",
    ]
    assert commands.main([*line, "--set", "machines=2s-cxl"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert (row["workload"], row["machine"], row["policy"]) == (
        "zipf",
        "2s-cxl",
        "none",
    )
    assert {"run_time_ns", "fast_share", "pages_promoted", "pages_demoted"} <= set(row)
    assert {"pages_moved_back", "system_time_ns"} <= set(row)
