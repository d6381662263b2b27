"""Settings of NUMA balancing that are out of range, and policies without its flag."""

import pytest

from common.numa_world import World
from lazynuma.engine import BadInput, Balancing, Mode, Policy


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("mode", "on"),
        ("mode", 1),
        ("scan_delay_ms", 0),
        ("scan_delay_ms", (1 << 31) + 1),
        ("scan_period_min_ms", 0),
        ("scan_period_min_ms", (1 << 31) + 1),
        ("scan_period_max_ms", 0),
        ("scan_period_max_ms", (1 << 31) + 1),
        ("scan_size_mb", 0),
        ("scan_size_mb", (1 << 20) + 1),
        ("hot_threshold_ms", 0),
        ("hot_threshold_ms", (1 << 31) + 1),
        ("promote_rate_limit_mbps", 0),
        ("promote_rate_limit_mbps", (1 << 30) + 1),
        ("migrate_rate_limit_mbps", -1),
        ("migrate_rate_limit_mbps", (1 << 30) + 1),
        ("filter", "last"),
        ("local_last_cpupid", 2),
        ("vma_pids", "yes"),
        ("groups", 0),
        ("placement", None),
        ("demotion", 1),
        ("scan_size_mb", 1.5),
        ("scan_delay_ms", True),
        ("tick_ns", 0),
        ("tick_ns", (1 << 40) + 1),
    ],
)
def test_a_bad_knob_is_named(field, bad):
    with pytest.raises(BadInput, match=rf"balancing\.{field} .*{bad}"):
        Balancing(**{field: bad})


@pytest.mark.parametrize(
    "policy",
    [
        Policy(Mode.DEFAULT, numa_balancing=True),
        Policy(Mode.LOCAL, numa_balancing=True),
        Policy(Mode.PREFERRED, (0,), numa_balancing=True),
        Policy(Mode.INTERLEAVE, (0,), numa_balancing=True),
        Policy(Mode.WEIGHTED_INTERLEAVE, (0,), (1,), numa_balancing=True),
    ],
)
def test_the_flag_goes_with_bind_and_preferred_many(policy):
    w = World()
    region = w.map(1)
    with pytest.raises(BadInput, match="numa_balancing must go with"):
        w.sim.set_mempolicy(w.task, policy)
    with pytest.raises(BadInput, match="numa_balancing must go with"):
        w.sim.mbind(w.task, region, policy)
