"""A daemon's part of the arrays that a placement policy has."""

import numpy as np
import pytest

from lazynuma.engine import BadInput, Simulation, preset
from lazynuma.engine.doors.answers import STAY
from lazynuma.engine.doors.own_array import Own
from lazynuma.engine.doors.placement_policy import PlacementPolicy


def _stay(fault, mine):
    return STAY


ARRAYS = (
    Own("uses", "uint8", "page"),
    Own("heat", "int32", "block", fill=7),
    Own("sums", "int64", "node"),
)


def _world():
    policy = PlacementPolicy(hint_fault=_stay, arrays=ARRAYS)
    simulation = Simulation(preset("dram-cxl", "64MiB"), policy=policy)
    process = simulation.spawn("job")
    first = simulation.mmap(process, 4 << 20)
    return simulation, first, simulation.mmap(process, 4 << 20)


def test_items_of_one_region_are_set():
    simulation, one, other = _world()
    simulation.set_own("uses", other, [0, 1023], [3, 4])
    simulation.set_own("heat", other, [1], 9)
    assert simulation.own("uses", other)[[0, 1, 1023]].tolist() == [3, 0, 4]
    assert not simulation.own("uses", one).any()
    assert simulation.own("heat", other).tolist() == [7, 9]
    assert simulation.own("heat", one).tolist() == [7, 7]
    simulation.set_own("uses", other, np.zeros(0, np.int64), 1)


@pytest.mark.parametrize(
    "name, pages, said",
    [
        ("use", [0], "array must be one of uses, heat, sums, got 'use'"),
        ("sums", [0], "array to set must be of pages or blocks, got sums"),
        ("uses", [0, 1024], "pages of uses must be from 0 to 1023, got 0 to 1024"),
        ("heat", [-1], "blocks of heat must be from 0 to 1, got -1 to -1"),
    ],
)
def test_what_cannot_be_set_is_refused(name, pages, said):
    simulation, region, _ = _world()
    with pytest.raises(BadInput, match=said):
        simulation.set_own(name, region, pages, 1)
