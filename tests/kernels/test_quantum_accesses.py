"""The generator: against big integers, whatever the chunk, and dealt out completely."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.kernel_parts import from_python
from lazynuma.engine import (
    Gups,
    HotCold,
    NextTouch,
    Settings,
    Simulation,
    Stencil,
    Stream,
    Sweep,
    Uniform,
    Zipf,
    uniform,
)
from lazynuma.engine.workloads.rows import Loads
from lazynuma.kernels import draws
from lazynuma.kernels.quantum import accesses as acc
from lazynuma.kernels.quantum.accesses import CHUNK
from lazynuma.kernels.quantum.own_accesses import Call
from lazynuma.kernels.state import Task
from lazynuma.kernels.words import ACCESS_VPN, ACCESS_WRITE

GOLDEN, U64 = 0x9E3779B97F4A7C15, (1 << 64) - 1

drawn = from_python(draws.draw)
generate_chunk = from_python(acc.generate_chunk)
deal_chunk = from_python(acc.deal_chunk)


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & U64
    return z ^ (z >> 31)


def draw(seed, stream, i):
    key = mix((seed + GOLDEN * (stream + 1)) & U64)
    return mix((key + GOLDEN * (i + 1)) & U64)


def in_range(r, n):
    return int(float(r >> 11) * 2.0**-53 * n)


def test_splitmix64_has_its_published_outputs():
    """Seed 1234567 of the reference implementation (Vigna, 2015)."""
    outputs = [mix((1234567 + GOLDEN * i) & U64) for i in (1, 2, 3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    with np.errstate(over="ignore"):
        ours = [int(drawn(np.uint64(1234567), i)) for i in (0, 1, 2)]
    assert ours == outputs


@given(st.integers(0, 2**62 - 1), st.integers(0, 2**40), st.integers(0, 2**40))
@settings(max_examples=25)
def test_draws_are_those_of_the_page(seed, stream, number):
    assert draws.draw_of(seed, stream, number) == draw(seed, stream, number)
    key = np.int64(draws.key_of(seed, stream)).astype(np.uint64)
    with np.errstate(over="ignore"):
        got = drawn(key, number)
    assert int(got) == draw(seed, stream, number)


@pytest.fixture
def world():
    simulation = Simulation(uniform(2, 64 << 20), Settings(shards=4))
    process = simulation.spawn(nbytes=64 << 20)
    task = simulation.start_task(process, 0)
    return simulation, task, simulation.mmap(process, 600 * 4096)


def laid_out(world, load, first, count, size=CHUNK):
    """Return the accesses [first, first + count) of a workload, and their shards."""
    simulation, task, region = world
    loads = Loads([load], 1, simulation.seed, 0)
    table = simulation.memory.task.copy()
    loads.start(table, 0)
    table[0, Task.NUMBER], table[0, Task.QUOTA] = first, count
    assert acc.lay_out(table, loads.starts) == count
    layout = np.zeros(count, np.int64)
    tally = np.zeros((-(-count // size), 4), np.int64)
    given = table, loads.rows, loads.exponent, loads.recorded, loads.own, loads.starts
    calls = np.zeros((len(tally), len(Call)), np.int64)
    for chunk in reversed(range(len(tally))):
        generate_chunk(*given, layout, calls, tally, chunk)
    return layout, tally, loads


def pages_and_writes(world, load, count=700, first=0):
    layout, _, _ = laid_out(world, load, first, count)
    pages = (layout & ACCESS_VPN) - world[2].first
    return pages.tolist(), ((layout & ACCESS_WRITE) != 0).tolist()


def expected_random(i, share=0.5):
    r = draw(1, 0, i)
    return r, (r & 2047) < round(share * 2048)


def test_uniform_and_gups(world):
    _, task, region = world
    pages, writes = pages_and_writes(world, Uniform(task=task, region=region, count=1))
    for i, (page, write) in enumerate(zip(pages, writes, strict=True)):
        r, want = expected_random(i)
        assert (page, write) == (in_range(r, 600), want)
    pages, writes = pages_and_writes(world, Gups(task=task, region=region, count=1))
    assert all(writes) and pages[3] == in_range(draw(1, 0, 3), 600)


def test_sweep_and_next_touch(world):
    _, task, region = world
    load = Sweep(task=task, region=region, count=1, start=5, stride=7, first=100)
    pages, writes = pages_and_writes(world, load)
    assert pages == [100 + (5 + 7 * i) % 500 for i in range(700)] and all(writes)
    load = NextTouch(task=task, region=region, count=1)
    pages, _ = pages_and_writes(world, load, 600)
    assert sorted(pages) == list(range(600)) and pages != sorted(pages)


@pytest.mark.parametrize("exponent", [1.0, 0.8, 1.2])
def test_zipf(world, exponent):
    _, task, region = world
    load = Zipf(task=task, region=region, count=1, exponent=exponent)
    pages, _ = pages_and_writes(world, load)
    for i, page in enumerate(pages):
        u = float(draw(1, 0, i) >> 11) * 2.0**-53
        if exponent == 1.0:
            rank = int(exp(u * log(601.0))) - 1
        else:
            base = u * (601.0 ** (1.0 - exponent) - 1.0) + 1.0
            rank = int(base ** (1.0 / (1.0 - exponent))) - 1
        assert page == min(max(rank, 0), 599) * load.odd % 600


def test_hot_set_moves(world):
    _, task, region = world
    load = HotCold(task=task, region=region, count=1, hot_pages=20, period=100, step=50)
    pages, _ = pages_and_writes(world, load)
    hot = [0, 0]
    for i, page in enumerate(pages):
        r = draw(1, 0, i)
        window = i // 100 * 50 % 600
        if (mix(r) & 2047) < round(0.9 * 2048):
            assert page == (window + in_range(r, 20)) % 600
            hot[0] += 1
        else:
            assert page == in_range(r, 600)
            hot[1] += 1
    # 700 draws of p = 0.9: fewer than 580 hot ones has a chance below 10^-9.
    assert hot[0] > 580 and hot[1] > 0


def test_stream_is_a_triad(world):
    _, task, region = world
    pages, writes = pages_and_writes(
        world, Stream(task=task, region=region, count=1), 606
    )
    assert pages[:6] == [200, 400, 0, 201, 401, 1]
    assert writes[:6] == [False, False, True] * 2
    assert pages[600:] == [200, 400, 0, 201, 401, 1]


def test_stencil_reads_its_neighbours(world):
    _, task, region = world
    load = Stencil(
        task=task,
        region=region,
        count=1,
        first=100,
        pages=50,
        halo=2,
        lower=98,
        upper=150,
    )
    pages, writes = pages_and_writes(world, load, 108)
    assert pages[:54] == [98, 99, *range(100, 150), 150, 151] == pages[54:]
    assert writes[:54] == [False] * 2 + [True] * 50 + [False] * 2
    ends = Stencil(task=task, region=region, count=1, pages=10, halo=3, upper=10)
    assert pages_and_writes(world, ends, 13)[0] == [*range(10), 10, 11, 12]


def test_accesses_do_not_depend_on_where_the_quantum_begins(world):
    _, task, region = world
    for load in (
        Uniform(task=task, region=region, count=1),
        Zipf(task=task, region=region, count=1),
        Stencil(task=task, region=region, count=1, pages=9, halo=0),
    ):
        whole = pages_and_writes(world, load, 500)
        tail = pages_and_writes(world, load, 300, first=200)
        assert (whole[0][200:], whole[1][200:]) == tail


def test_every_access_is_dealt_to_its_shard_in_order(world):
    simulation, task, region = world
    count = 2 * CHUNK + 77
    load = Uniform(task=task, region=region, count=count)
    layout, tally, loads = laid_out(world, load, 0, count)
    shard = simulation.memory.shard
    acc.queue(simulation.memory.info, shard, tally, len(tally))
    queued = np.zeros(count, np.int64)
    for chunk in reversed(range(len(tally))):
        deal_chunk(loads.starts, layout, tally, queued, chunk)
    block = (layout & ACCESS_VPN) >> 9
    shards = ((block * 0x9E3779B1) & 0xFFFFFFFF) * 4 >> 32
    for s in range(4):
        first, end = shard[s, 0], shard[s, 1]
        assert queued[first:end].tolist() == layout[shards == s].tolist()
    assert shard[3, 1] == count
