"""Operations whose rules are not in the random stories."""

import numpy as np
import pytest

from common.host_memory import resident
from lazynuma.engine import (
    BadInput,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    SimulationError,
    Sweep,
    uniform,
)
from lazynuma.engine.calls.placement import EINVAL, EIO, remap

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture
def world():
    simulation = Simulation(uniform(4, 8 * MIB), Settings(sequential=True))
    process = simulation.spawn(nbytes=64 * MIB)
    task = simulation.start_task(process, 0)
    return simulation, task, simulation.mmap(process, 40 * 4096)


def nodes_of(simulation, region):
    pages = range(region.first, region.first + region.pages)
    return [simulation.page(region.process, vpn).node for vpn in pages]


@pytest.mark.parametrize(
    ("sources", "targets", "pairs"),
    [
        # The example of do_migrate_pages: 1 must leave before 0 comes.
        ([0, 1], [1, 2], [(1, 2), (0, 1)]),
        ([0, 1], [2, 3], [(0, 2), (1, 3)]),
        ([0, 1, 2], [2], [(0, 2), (1, 2)]),
        ([0], [0], []),
    ],
)
def test_remap_keeps_the_order_of_nodes(sources, targets, pairs):
    assert remap(sources, targets) == pairs


def test_migrate_pages_moves_the_whole_process(world):
    simulation, task, region = world
    for node in (0, 1):
        simulation.move_task(task, node)
        part = {"first": 20 * node, "pages": 20}
        simulation.run([Sweep(task=task, region=region, count=20, **part)])
    assert simulation.migrate_pages(task, [0, 1], [1, 2]) == 0
    assert nodes_of(simulation, region) == [1] * 20 + [2] * 20
    assert simulation.total("pgmigrate_success") == 40
    simulation.check()


def test_mainline_refuses_mpol_mf_lazy():
    options = Settings(mpol_mf_lazy=False)
    simulation = Simulation(uniform(2, 8 * MIB), options)
    process = simulation.spawn(nbytes=8 * MIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, MIB)
    policy = Policy(Mode.BIND, (1,))
    got = simulation.mbind(task, region, policy, lazy=Mechanism.HINTING)
    assert got == EINVAL == 22
    simulation.populate(task, region)
    assert set(nodes_of(simulation, region)) == {0}


@pytest.mark.parametrize(
    ("mode", "want"),
    [
        (Policy(Mode.INTERLEAVE, (1, 3)), [1, 3] * 20),
        (Policy(Mode.WEIGHTED_INTERLEAVE, (0, 2), (1, 3)), [0, 2, 2, 2] * 10),
        (Policy(Mode.BIND, (2, 3)), [2] * 40),
        (Policy(Mode.PREFERRED, (3,)), [3] * 40),
        (Policy(Mode.PREFERRED_MANY, (1, 2)), [1] * 40),
        (Policy(Mode.LOCAL), [0] * 40),
    ],
)
@pytest.mark.parametrize("whose", ["vma", "task"])
def test_policies_place_first_touches(world, mode, want, whose):
    simulation, task, region = world
    if whose == "vma":
        assert simulation.mbind(task, region, mode) == 0
    else:
        simulation.set_mempolicy(task, mode)
    simulation.run([Sweep(task=task, region=region, count=40)])
    assert nodes_of(simulation, region) == want


def test_an_access_outside_ends_the_run(world):
    simulation, task, region = world
    simulation.mprotect(task, region, "r", 3, 1)
    with pytest.raises(SimulationError, match="must not write page 3"):
        simulation.run([Sweep(task=task, region=region, count=40)])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, t, r: s.start_task(r.process, 4),
        lambda s, t, r: s.mmap(r.process, 0),
        lambda s, t, r: s.mmap(r.process, 65 * MIB),
        lambda s, t, r: s.mprotect(t, r, "w"),
        lambda s, t, r: s.munmap(t, r, 39, 2),
        lambda s, t, r: s.move_pages(t, r, 4),
        lambda s, t, r: s.hot_remove(-1),
        lambda s, t, r: s.mbind(t, r, Policy(Mode.BIND)),
        lambda s, t, r: s.mbind(t, r, Policy(Mode.BIND, (7,))),
        lambda s, t, r: s.migrate_pages(t, [0], []),
        lambda s, t, r: Sweep(task=t, region=r, count=-1),
        lambda s, t, r: Sweep(task=t, region=r, count=1, pages=41),
        lambda s, t, r: s.total("nonsense"),
    ],
)
def test_bad_operations_are_refused(world, wrong):
    with pytest.raises(BadInput):
        wrong(*world)


def test_memory_goes_back_to_the_host():
    """Neither the PTEs of a process that is gone nor its frames' words are resident."""
    simulation = Simulation(uniform(1, 2 * GIB))
    process = simulation.spawn(nbytes=2 * GIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 3 * GIB // 2)
    assert simulation.populate(task, region) == region.pages
    memory = simulation.memory
    arrays = memory.pte[: region.pages], memory.frame[: region.pages]
    assert all(np.count_nonzero(array) == region.pages for array in arrays)
    assert all(resident(array) == array.nbytes // 4096 for array in arrays)
    simulation.exit(process)
    # Two MiB may wait for the next process.
    assert resident(arrays[0]) == 0 and resident(arrays[1]) <= 512
    assert not any(array.any() for array in arrays)
    assert simulation.free(0) == 2 * GIB // 4096


def swept(world, **given):
    """Let a world's task go through its region."""
    simulation, task, region = world
    count = given.get("pages", region.pages)
    simulation.run([Sweep(task=task, region=region, count=count, **given)])


def kinds_of(simulation, region):
    pages = range(region.first, region.first + region.pages)
    return [simulation.page(region.process, vpn).kind for vpn in pages]


def test_reclaim_forgets_what_was_freed_and_not_written_since(world):
    simulation, task, region = world
    swept(world)
    simulation.madvise(task, region, "free")
    swept(world, pages=10)
    simulation.madvise(task, region, "pageout")
    assert kinds_of(simulation, region) == ["present"] * 10 + ["none"] * 30
    assert [simulation.total(name) for name in ("pglazyfree", "pglazyfreed")] == [
        40,
        30,
    ]
    simulation.check()


def test_a_shared_page_is_forgotten_once_its_other_users_are_gone(world):
    """The parent frees pages that its child has too, and has not written itself."""
    simulation, task, region = world
    swept(world)
    child = simulation.fork(task.process)
    simulation.madvise(task, region, "free")
    simulation.exit(child)
    simulation.madvise(task, region, "pageout")
    assert kinds_of(simulation, region) == ["none"] * 40
    simulation.check()


def test_mbind_to_the_local_policy_moves_pages_that_are_local(world):
    simulation, task, region = world
    swept(world)
    assert simulation.mbind(task, region, Policy(Mode.LOCAL), move=True) == 0
    assert nodes_of(simulation, region) == [0] * 40
    assert simulation.total("pgmigrate_success") == 40
    assert simulation.total("pages_moved") == 0
    simulation.check()


def test_the_default_policy_is_strict_about_nothing(world):
    simulation, task, region = world
    swept(world)
    assert simulation.mbind(task, region, Policy(Mode.LOCAL), strict=True) == EIO
    assert simulation.mbind(task, region, Policy(Mode.DEFAULT), strict=True) == 0
