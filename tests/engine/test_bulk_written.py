"""What a daemon sees of writes and of huge pages."""

import pytest

from lazynuma.engine import BadInput, Settings, Simulation, Sweep, Thp, preset

PAGES = 2048


def _world(thp: str = "never"):
    simulation = Simulation(
        preset("dram-cxl", "64MiB"), Settings(thp=Thp(enabled=thp)), seed=3
    )
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, PAGES * 4096)
    simulation.populate(task, region)
    return simulation, task, region


def _sweep(simulation, task, region, first, pages, write):
    work = dict(task=task, region=region, count=pages, first=first, pages=pages)
    simulation.run([Sweep(**work, write=write)])


@pytest.mark.parametrize("thp", ["never", "always"])
def test_writes_are_seen_once(thp):
    simulation, task, region = _world(thp)
    assert simulation.take_written(region).all()
    assert not simulation.take_written(region).any()
    _sweep(simulation, task, region, 0, 1024, 0.0)
    assert not simulation.take_written(region).any()
    before = simulation.daemon_time_ns
    _sweep(simulation, task, region, 512, 512, 1.0)
    written = simulation.take_written(region)
    assert written[512:1024].all() and written.sum() == 512
    assert simulation.daemon_time_ns > before
    assert not simulation.take_written(region, [600, 10]).any()
    simulation.check()


def test_a_page_freed_by_advice_keeps_its_bit():
    simulation, task, region = _world()
    simulation.madvise(task, region, "free", first=0, pages=10)
    _sweep(simulation, task, region, 0, 5, 1.0)
    assert simulation.take_written(region)[:10].tolist() == [True] * 5 + [False] * 5
    assert simulation.take_written(region)[:10].tolist() == [True] * 5 + [False] * 5


def test_huge_pages_are_known_until_they_split():
    simulation, _, region = _world("always")
    assert simulation.huge(region).tolist() == [True] * 4
    assert simulation.split_blocks(region, [1]) == 1
    assert simulation.huge(region).tolist() == [True, False, True, True]
    with pytest.raises(BadInput, match="pages must be from 0 to 2047, got 0 to 9999"):
        simulation.take_written(region, [0, 9999])


def test_a_move_to_a_copy_costs_no_copy():
    simulation, _, region = _world()
    costs = []
    for copied in (True, False):
        pages = range(100) if copied else range(100, 200)
        before = simulation.daemon_time_ns
        moved = simulation.demote(region, list(pages), copied=copied)
        costs.append(simulation.daemon_time_ns - before)
        assert moved == 100
    copy_ns = int(simulation.memory.copy_ns[0, 2])
    assert costs[0] - costs[1] == 100 * copy_ns > 0
    simulation.check()
