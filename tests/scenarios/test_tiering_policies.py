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
    assert sum(simulation.pages_by_node(process)) > 5000


def test_weights_follow_bandwidth():
    machine = preset("dram-cxl", "64MiB")
    # 112.5, 112.5 and 23.5 GB/s (its link): 14.5, 14.5 and 3.03 of 32, rounded down.
    assert weighted_auto.weights(machine) == {0: 14, 1: 14, 2: 3}


def test_what_is_scaled_never_vanishes():
    assert Scale(1e6).time(1000) == 1
    assert Scale(10).time(1000) == 100
    assert Scale(refs=16).period(5000) == 312
    assert Scale(refs=16).period(1) == 1
