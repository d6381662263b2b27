"""What of an address space DAMON watches."""

from types import SimpleNamespace

import numpy as np
import pytest

from lazynuma.engine.daemons.damon_targets import (
    evenly_split,
    set_regions,
    three_regions,
)
from lazynuma.kernels.damon.damon_regions import DamonRegion


def _process(*ranges):
    vmas = [SimpleNamespace(start=start, end=end) for start, end in ranges]
    return SimpleNamespace(vmas=vmas)


@pytest.mark.parametrize(
    "mapped, ranges",
    [
        ([], []),
        ([(5, 9)], [(5, 9)]),
        ([(5, 9), (9, 12)], [(5, 12)]),
        ([(5, 9), (10, 12)], [(5, 9), (10, 12)]),
        # The two widest gaps are left out, narrower ones are not.
        (
            [(10, 20), (25, 30), (130, 140), (143, 150), (1150, 1160)],
            [(10, 30), (130, 150), (1150, 1160)],
        ),
        ([(1150, 1160), (0, 1)], [(0, 1), (1150, 1160)]),
    ],
)
def test_the_two_widest_gaps_are_left_out(mapped, ranges):
    assert three_regions(_process(*mapped)) == ranges


def test_targets_are_cut_evenly():
    ((*pieces,),) = evenly_split([[(0, 103)]], 10)
    assert pieces[:2] == [(0, 10), (10, 20)] and pieces[-1] == (90, 103)
    # A tenth of both ranges together is more than the second one.
    (pieces,) = evenly_split([[(0, 95), (200, 205)]], 10)
    assert pieces[-1] == (200, 205) and len(pieces) == 10
    assert evenly_split([[(3, 5)]], 10) == [[(3, 4), (4, 5)]]


def _table(*regions):
    table = np.zeros((len(regions), len(DamonRegion)), np.int64)
    if regions:
        table[:, DamonRegion.START : DamonRegion.END + 1] = regions
    table[:, DamonRegion.AGE] = np.arange(1, len(regions) + 1)
    return table


@pytest.mark.parametrize(
    "before, ranges, after",
    [
        # Kept, with its age; what is outside goes; a hole is a new region.
        ([(0, 10), (10, 20)], [(0, 20)], [(0, 10, 1), (10, 20, 2)]),
        ([(0, 10), (10, 20)], [(0, 10)], [(0, 10, 1)]),
        ([(0, 10), (30, 40)], [(0, 40)], [(0, 10, 1), (10, 30, 0), (30, 40, 2)]),
        # Ends are cut, or made longer.
        ([(0, 10), (10, 20)], [(5, 25)], [(5, 10, 1), (10, 25, 2)]),
        ([(5, 10)], [(0, 20)], [(0, 20, 1)]),
        ([(0, 100)], [(10, 20), (30, 40)], [(10, 20, 1), (30, 40, 0)]),
        ([], [(7, 9)], [(7, 9, 0)]),
    ],
)
def test_regions_follow_the_mappings(before, ranges, after):
    found = set_regions(_table(*before), 3, ranges)
    columns = [DamonRegion.START, DamonRegion.END, DamonRegion.AGE]
    assert found[:, columns].tolist() == [list(one) for one in after]
    assert (found[:, DamonRegion.TARGET] == 3).all()
