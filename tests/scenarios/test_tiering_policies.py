"""The policies of the league: each does what its paper says, on a trace by hand."""

import pytest

from lazynuma.engine import Simulation, Uniform, preset
from lazynuma.scenarios.tiering_policies import NAMES, Scale, rival, weighted_auto


@pytest.mark.parametrize("name", NAMES)
def test_each_policy_runs(name: str):
    machine = preset("dram-cxl", "64MiB")
    one = rival(name, Scale(1000, 16))
    assert one.name == name
    simulation = Simulation(machine, one.settings(machine))
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 48 << 20)
    one.start(simulation, process, region)
    simulation.run([Uniform(task=task, region=region, count=20_000, refs=16)])
    simulation.check()
    assert sum(simulation.pages_by_node(process)) > 10_000


def test_weights_follow_bandwidth():
    machine = preset("dram-cxl", "64MiB")
    # 112.5, 112.5 and 64 GB/s of 289: 12.5, 12.5 and 7.1 of 32, rounded down.
    assert weighted_auto.weights(machine) == {0: 12, 1: 12, 2: 7}


def test_what_is_scaled_never_vanishes():
    assert Scale(1e6).time(1000) == 1
    assert Scale(10).time(1000) == 100
    assert Scale(refs=16).period(5000) == 312
    assert Scale(refs=16).period(1) == 1
