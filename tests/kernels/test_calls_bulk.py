"""Calls in bulk against the slow reference, and what they must never do."""

from dataclasses import replace

import numpy as np
import pytest

from common.pair import MIB, Pair, demand, job, toil
from lazynuma.engine import (
    Balancing,
    Settings,
    Thp,
    Tlb,
    Uniform,
    uniform,
)

#: 6 MiB on each of two fast nodes, 12 on a slow one.
FAST, SLOW = 6 * MIB, 12 * MIB


def tiers(fast=FAST, slow=SLOW):
    """Return two nodes with a CPU each, and a slower one without."""
    machine = uniform(3, fast, cpus_per_node=1)
    sizes, none = (fast, fast, slow), (0, 0, 0)
    return replace(machine, memory=sizes, system=none, cpus=(1, 1, 0), tier=(0, 0, 1))


def settings(seed):
    """Return other settings for each seed: huge pages or not, old flushes or new."""
    return Settings(
        thp=Thp(
            enabled=("always", "never", "madvise")[seed % 3],
            unit_migration=seed % 7 != 3,
            split_to_migrate=seed % 2 == 0,
        ),
        tlb=Tlb(enabled=seed % 4 == 1),
        balancing=Balancing(mode=("off", "both", "tiering")[seed // 2 % 3]),
        migrate_pages_batch=seed % 5 != 2,
        swap_bytes=8 * MIB,
    )


def chosen(rng, pages, blocks=False):
    """Return what a call may be given: an array in any order, a mask, or None."""
    kind = rng.integers(3)
    if kind == 0:
        return None
    if kind == 1 and not blocks:
        return rng.random(pages) < rng.random()
    return rng.integers(0, pages, rng.integers(0, pages))


class Bulk(Pair):
    """Both, with what daemons worked."""

    def bulk(self, name, region, *args, **options):
        """Do a call; demand the same result, cost and state."""
        both = [
            getattr(sim, name)(region[i], *args_of(i, args), **options)
            for i, sim in enumerate(self.sims)
        ]
        assert np.array_equal(*both), (name, *both)
        engine, slow = self.sims
        assert engine.daemon_time_ns == slow.daemon_time_ns, name
        self.compare()
        return both[0]


def args_of(i, args):
    """Return the arguments as the engine, or the reference, takes them."""
    plain = [one.tolist() if isinstance(one, np.ndarray) else one for one in args]
    return plain if i else args


def step(pair, rng, region):
    """Do one call in bulk that is drawn."""
    pages, blocks = region[0].pages, -(-region[0].pages // 512)
    kind = rng.choice(
        "where take_accessed promote demote move mark_pages split_blocks"
        " collapse_blocks".split()
    )
    some = chosen(rng, pages)
    if kind in ("split_blocks", "collapse_blocks"):
        some = chosen(rng, blocks, blocks=True)
    node = [] if kind not in ("move", "promote", "demote") else [int(rng.integers(3))]
    if kind in ("promote", "demote") and rng.random() < 0.6:
        node = []
    pair.bulk(kind, region, some, *node)


@pytest.mark.parametrize("seed", range(9))
def test_calls_do_what_the_reference_does(seed):
    rng = np.random.default_rng(seed)
    pair = Bulk(tiers(), settings(seed), seed)
    process, task, region = job(pair, 8)
    pair.call("advise", task, region, "hugepage", pages=1024)
    toil(pair, Uniform, task, region, count=600)
    if seed % 3 == 0:
        child = pair.call("fork", process)
        pair.processes.append(child)
    assert pair.bulk("demote", region, None)
    for _ in range(6):
        for _ in range(2):
            step(pair, rng, region)
        toil(pair, Uniform, task, region, count=80)
    assert pair.sims[0].daemon_time_ns > 0
    demand(pair, "pgdemote_proactive")
