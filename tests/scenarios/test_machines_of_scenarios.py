"""Every scenario on every machine on which its question makes sense, and no other."""

import numpy as np
import pytest

from lazynuma.engine import BadInput, preset
from lazynuma.engine.machines.numactl import from_numactl
from lazynuma.engine.run import run_study
from lazynuma.scenarios import (
    hot_remove,
    hpc_node,
    khugepaged_rate,
    mechanisms,
    next_touch,
    penalties,
    ping_pong,
    scan_cap,
    swap_space,
    thp_unit,
    tiering,
)
from lazynuma.scenarios.common.tasks import ends, machine_with

MIB, GIB = 1 << 20, 1 << 30


def numactl(sizes, cpus, distances):
    """Return the output of numactl for nodes of MB and lists of CPUs."""
    nodes = range(len(sizes))
    lines = [f"available: {len(sizes)} nodes (0-{len(sizes) - 1})"]
    for node in nodes:
        lines += [
            f"node {node} cpus: {cpus[node]}",
            f"node {node} size: {sizes[node]} MB",
            f"node {node} free: {sizes[node]} MB",
        ]
    lines += ["node distances:", "node " + " ".join(map(str, nodes))]
    lines += [f"{node}: {' '.join(map(str, distances[node]))}" for node in nodes]
    return "\n".join(lines) + "\n"


FILES = {
    "one node": numactl([8192], ["0 1 2 3"], [[10]]),
    "two": numactl([4096, 4096], ["0 1", "2 3"], [[10, 21], [21, 10]]),
    # Two sockets with HBM in flat mode.
    "hbm": numactl(
        [4096, 4096, 1024, 1024],
        ["0 1 2 3", "4 5 6 7", "", ""],
        [[10, 21, 13, 23], [21, 10, 23, 13], [13, 23, 10, 23], [23, 13, 23, 10]],
    ),
    # Two of four nodes have CPUs and no memory.
    "memory-less": numactl(
        [0, 2048, 2048, 0],
        ["0 1", "2 3", "4 5", "6 7"],
        [[10 if a == b else 12 for a in range(4)] for b in range(4)],
    ),
}
#: A size that is soon done, and the machines on which the question makes no sense.
ALONE = {"one node": "two nodes"}
SMALL = {
    "mechanisms": (mechanisms, {"memory": 512 * MIB, "tasks": 2}, ALONE),
    "next_touch": (next_touch, {"memory": 512 * MIB, "fractions": (0.5,)}, ALONE),
    "hpc_node": (
        hpc_node,
        {"mapped": 64 * MIB, "memory": 512 * MIB, "ranks": 4, "halo": 4},
        {},
    ),
    "thp_unit": (thp_unit, {"memory": 512 * MIB, "tasks": 2}, ALONE),
    "swap_space": (
        swap_space,
        {"memory": (8 * GIB,), "swap": (0, GIB), "mapped": 16 * MIB},
        {},
    ),
    "hot_remove": (hot_remove, {"memory": 512 * MIB, "occupancy": (0.3,)}, ALONE),
    "khugepaged_rate": (
        khugepaged_rate,
        {"mapped": 64 * MIB, "scan_sleep_millisecs": (100,)},
        {},
    ),
    "scan_cap": (scan_cap, {"sizes": (64 * MIB,), "threads": (2,)}, ALONE),
    "ping_pong": (ping_pong, {"mapped": 8 * MIB, "touches": 4}, ALONE),
    "penalties": (
        penalties,
        {"memory": 64 * MIB, "accesses": 2000, "ranking": 256 * MIB},
        ALONE,
    ),
    "tiering": (
        tiering,
        {"memory": GIB, "tasks": 9, "accesses": 2000},
        dict.fromkeys(("one node", "two", "memory-less", "2s", "4s"), "two tiers"),
    ),
}
MACHINES = ("2s", "4s", *FILES)


@pytest.fixture
def built(tmp_path):
    """Return a function that builds a scenario at its small size on a machine."""

    def build(name, machine):
        module, parameters, _ = SMALL[name]
        if machine in FILES:
            path = tmp_path / machine
            path.write_text(FILES[machine])
            machine = str(path)
        return module.build(module.Parameters(**parameters, machine=machine))

    return build


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", SMALL)
def test_a_scenario_runs_or_says_why_not(built, name, machine):
    refused = SMALL[name][2]
    if machine in refused:
        with pytest.raises(BadInput, match=f"machine must .*{refused[machine]}"):
            built(name, machine)
        return
    study = built(name, machine)
    rows = run_study(study)
    assert len(rows) == len(study.variants)
    assert all(row["accesses"] > 0 for row in rows if "accesses" in row)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("2s", (0, 1)),
        ("4s", (0, 2)),
        ("4s-ring", (0, 2)),
        ("8s", (0, 7)),
        ("16-node", (0, 10)),
        ("dram-cxl", (0, 1)),
    ],
)
def test_threads_move_to_the_farthest_node_with_cpus(name, want):
    assert ends(preset(name, 64 * GIB)) == want


def test_threads_move_past_nodes_without_cpus_or_memory():
    assert ends(from_numactl(FILES["hbm"], "hbm")) == (0, 1)
    with pytest.raises(BadInput, match="CPUs and memory on two nodes"):
        ends(from_numactl(FILES["one node"], "one"))


@pytest.mark.parametrize("name", ["2s", "4s", "8s", "16-node"])
def test_both_ends_have_the_memory_that_is_asked_for(name):
    machine = machine_with(name, 64 * MIB)
    assert min(machine.memory[node] for node in ends(machine)) >= 64 * MIB
    if name == "2s":
        assert machine.memory == (64 * MIB, 64 * MIB)


def test_memory_follows_threads_on_two_sockets(built):
    """The main job moves to node 1 of two, and only there."""
    study = built("mechanisms", "2s")
    rows = {row["mechanism"]: row for row in run_study(study)}
    assert rows["none"]["local_fraction_end"] == 0
    assert rows["eager"]["local_fraction_end"] == 1
    assert np.isclose(rows["hinting"]["local_fraction_end"], 1, atol=0.01)
