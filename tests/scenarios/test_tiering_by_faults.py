"""The policies of the league that hint faults feed: TPP, pghot and Nomad."""

from types import SimpleNamespace

import numpy as np
import pytest

from lazynuma.engine import Settings, Simulation, Sweep, preset
from lazynuma.engine.doors.answers import STAY
from lazynuma.kernels.state import Node
from lazynuma.scenarios.tiering_policies import Scale, nomad, pghot, rival, tpp

#: Two sockets of 16 MiB, and 32 MiB behind CXL (node 2).
MACHINE = preset("dram-cxl", "64MiB")
MS = 1_000_000


def _fault(page: int, ms: int = 0, pages: int = 1, cpu_node: int = 0):
    return SimpleNamespace(page=page, pages=pages, now_ns=ms * MS, cpu_node=cpu_node)


# --- TPP ------------------------------------------------------------------------------


def test_the_second_hint_fault_promotes():
    mine = SimpleNamespace(tpp_active=np.zeros(2048, np.uint8))
    answers = [tpp.promote(_fault(7, cpu_node=1), mine) for _ in range(4)]
    assert answers == [STAY, 1, STAY, 1]
    assert tpp.promote(_fault(8), mine) == STAY


def test_faults_anywhere_in_a_huge_page_are_of_one_page():
    mine = SimpleNamespace(tpp_active=np.zeros(2048, np.uint8))
    assert tpp.promote(_fault(512 + 3, pages=512), mine) == STAY
    assert tpp.promote(_fault(512 + 400, pages=512), mine) == 0


def test_tpp_keeps_two_percent_of_a_node_free():
    simulation = Simulation(MACHINE, rival("tpp", Scale(256)).settings(MACHINE))
    node = simulation.memory.node[0]
    sizes = zip(MACHINE.memory, MACHINE.system, strict=True)
    usable = [(size - system) >> 12 for size, system in sizes]
    assert node[Node.HIGH] - node[Node.LOW] == usable[0] * 200 // 10_000
    # The reserve below them is that of 16 GiB, 4,096 pages, as much smaller.
    assert node[Node.MIN] == 4096 // 256 * usable[0] // sum(usable)


# --- pghot ----------------------------------------------------------------------------


def _records(record: pghot.Record, uses_ms: list[int], nodes: bool, cpu_node: int = 0):
    """Return the record of a page after uses at these times."""
    layout = pghot.layout_of(record, Scale())
    mine = SimpleNamespace(pghot=np.zeros(8, record.dtype))
    for ms in uses_ms:
        answer = pghot.recorder(layout, nodes)(_fault(5, ms, cpu_node=cpu_node), mine)
        assert answer == STAY
    assert not np.delete(mine.pghot, 5).any()
    return int(mine.pghot[5]), layout


@pytest.mark.parametrize("record", [pghot.ONE_BYTE, pghot.PRECISE])
def test_two_uses_in_the_window_make_a_page_ready(record):
    window = record.window_ms
    one, layout = _records(record, [0], record.nodes)
    assert one & layout.ready == 0
    near, _ = _records(record, [0, window - 200], record.nodes)
    far, _ = _records(record, [0, window + 200], record.nodes)
    assert near & layout.ready and not far & layout.ready
    # The last use begins a window of its own.
    late, _ = _records(record, [0, window + 200, window + 400], record.nodes)
    assert late & layout.ready


def test_a_byte_holds_three_uses_and_five_bits_of_time():
    word, layout = _records(pghot.ONE_BYTE, [0, 128, 256, 384, 512], False)
    assert word == 0b1_00100_11
    assert layout.ready == 1 << 7
    # Time comes round after 32 steps of 128 ms: so an old use looks like a new one.
    again, _ = _records(pghot.ONE_BYTE, [0, 32 * 128], False)
    assert again & layout.ready


def test_precise_records_know_who_and_do_not_come_round_so_soon():
    word, layout = _records(pghot.PRECISE, [0, 10], True, cpu_node=1)
    assert word >> layout.node_shift & 0x3FF == 1
    assert word & 7 == 2 and word >> 3 & 0x3FFF == 10
    again, _ = _records(pghot.PRECISE, [0, 32 * 128 + 5000], True)
    assert not again & layout.ready


def test_times_of_records_are_scaled():
    layout = pghot.layout_of(pghot.ONE_BYTE, Scale(256))
    assert layout.step_ns == 500_000
    assert layout.window == 23


def test_kmigrated_promotes_to_the_node_that_used_the_page():
    one = rival("pghot_precise", Scale(200, 16))
    simulation = Simulation(MACHINE, one.settings(MACHINE), policy=one.policy)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 48 << 20)
    simulation.populate(task, region)
    daemon = pghot.KMigrated(region, MACHINE, Scale(200, 16), pghot.PRECISE)
    ready = np.arange(region.pages - 8, region.pages)
    layout = daemon.layout
    word = layout.ready | 1 << layout.node_shift | 2
    simulation.set_own("pghot", region, ready, word)
    simulation.demote(region, np.arange(4000, 4200))
    daemon.wake(simulation)
    assert (simulation.where(region, ready) == 1).all()
    assert not simulation.own("pghot", region).any()
    assert simulation.total("pgpromote_success") == 8


# --- Nomad ----------------------------------------------------------------------------


def _nomad(pages: int = 4096):
    """Return a Nomad, with room in fast memory, and a region that lies on node 2."""
    one = rival("nomad", Scale(200, 16))
    simulation = Simulation(MACHINE, one.settings(MACHINE), policy=one.policy)
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, pages * 4096)
    simulation.populate(task, region)
    simulation.demote(region, None)
    assert (simulation.where(region) == 2).all()
    daemon = nomad.Nomad(region, MACHINE)
    return daemon, simulation, task, region


def _promoted(count: int = 100, write: float = 0.0):
    """Return the same, after ``count`` pages were queued, used again and promoted."""
    daemon, simulation, task, region = _nomad()
    pages = np.arange(count)
    simulation.set_own("nomad_queued", region, pages, 1)
    daemon.wake(simulation)
    _touch(simulation, task, region, count, write)
    daemon.wake(simulation)
    assert (simulation.where(region, pages) != 2).all()
    return daemon, simulation, task, region


def _touch(simulation, task, region, count, write):
    work = dict(task=task, region=region, count=count, pages=count)
    simulation.run([Sweep(**work, write=write)])


def test_a_queued_page_waits_for_its_next_use():
    daemon, simulation, task, region = _nomad()
    simulation.set_own("nomad_queued", region, [0, 1, 2], 1)
    daemon.wake(simulation)
    assert not simulation.own("nomad_queued", region).any()
    daemon.wake(simulation)
    assert daemon.waits.sum() == 3 and daemon.promotions == 0
    _touch(simulation, task, region, 2, 0.0)
    daemon.wake(simulation)
    assert daemon.promotions == 2
    assert simulation.where(region, [0, 1, 2]).tolist()[2] == 2
    assert daemon.shadow[:3].tolist() == [2, 2, -1]


def test_a_clean_page_is_demoted_without_a_copy():
    costs = []
    for write in (0.0, 1.0):
        daemon, simulation, task, region = _promoted()
        _touch(simulation, task, region, 100, write)
        daemon.wake(simulation)
        assert (daemon.shadow[:100] == 2).all() == (write == 0)
        before = simulation.daemon_time_ns
        assert daemon.send(simulation, np.arange(100)) == 100
        costs.append(simulation.daemon_time_ns - before)
        assert (simulation.where(region, np.arange(100)) == 2).all()
        assert (daemon.shadow == -1).all()
        assert daemon.demoted_free == (100 if write == 0 else 0)
        simulation.check()
    copy_ns = int(simulation.memory.copy_ns[0, 2])
    assert costs[1] - costs[0] == 100 * copy_ns


def test_a_first_write_costs_a_fault_and_the_shadow():
    daemon, simulation, task, region = _promoted()
    _touch(simulation, task, region, 10, 1.0)
    before = simulation.daemon_time_ns
    daemon._drop_written(simulation)
    assert daemon.dropped_by_writes == 10
    spent = simulation.daemon_time_ns - before
    assert spent == 10 * simulation.costs.hint_fault_ns
    daemon._drop_written(simulation)
    assert daemon.dropped_by_writes == 10


def test_copies_that_writes_meet_are_aborted_in_proportion():
    daemon, simulation, _, region = _nomad()
    pages, written = np.arange(1000), np.zeros(region.pages, bool)
    nodes = np.full(1000, 2)
    args = (simulation, pages, nodes)
    copy_ns = int(simulation.memory.copy_ns[2, 0])
    assert daemon._meets_write(*args, written, 10 * copy_ns).sum() == 0
    written[:500] = True
    aborts = daemon._meets_write(*args, written, 10 * copy_ns)
    assert aborts.sum() in (49, 50) and not aborts[500:].any()
    assert daemon._meets_write(*args, written, copy_ns)[:500].all()


def test_short_slow_memory_drops_the_oldest_shadows():
    daemon, simulation, _, region = _nomad()
    daemon.shadow[:] = 2
    daemon.made[:] = np.arange(region.pages)[::-1]
    free = simulation.node_free(2)
    daemon._drop_for_room(simulation)
    left = int((daemon.shadow == 2).sum())
    short = region.pages - free
    assert short <= 0 or left == max(0, region.pages - nomad.DROPPED * short)
    daemon.shadow[:] = 2
    simulation.node_free = lambda node: region.pages - 3
    daemon._drop_for_room(simulation)
    # The last pages are the oldest here: thirty of them went.
    assert np.flatnonzero(daemon.shadow < 0).tolist() == list(
        range(region.pages - 30, region.pages)
    )


# --- weighted interleave --------------------------------------------------------------


def test_pages_are_spread_by_the_weights():
    one = rival("weighted_interleave")
    simulation = Simulation(MACHINE, one.settings(MACHINE))
    process = simulation.spawn("job")
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, 31 * 40 * 4096)
    one.start(simulation, process, region)
    simulation.populate(task, region)
    assert simulation.pages_by_node(process).tolist() == [560, 560, 120]


def test_no_tiering_has_nothing_on():
    settings = rival("none").settings(MACHINE)
    assert settings.balancing == Settings().balancing
    assert settings.sampling.period == 0
