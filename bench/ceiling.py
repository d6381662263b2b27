"""The ceiling: what memory alone allows, one bare read-modify-write per event."""

import time

import numba
import numpy as np

from lazynuma.engine.state.host_memory import sparse
from lazynuma.kernels.draws import draw, uniform
from lazynuma.kernels.jit.prefetch import prefetch

#: Events between a prefetch and its use.
DISTANCE = 16
REPEATS = 3


@numba.njit(nogil=True)
def _random(array, key, events):
    """Change ``events`` random records of an int64 array."""
    for i in range(events):
        array[uniform(draw(key, i), array.size)] += 1


@numba.njit(nogil=True)
def _random_prefetched(array, key, events):
    """The same with a software prefetch."""
    ring = np.zeros(DISTANCE, np.int64)
    for i in range(DISTANCE):
        ring[i] = uniform(draw(key, i), array.size)
    for i in range(events):
        at = ring[i % DISTANCE]
        ahead = uniform(draw(key, i + DISTANCE), array.size)
        prefetch(array, ahead)
        ring[i % DISTANCE] = ahead
        array[at] += 1


@numba.njit(nogil=True)
def _sequential(array, events):
    """Change records in order, round and round."""
    done = 0
    while done < events:
        part = array[: min(array.size, events - done)]
        for i in range(part.size):
            part[i] += 1
        done += part.size


def _rate(work, events: int) -> float:
    begin = time.perf_counter()
    work()
    return events / (time.perf_counter() - begin)


def ceiling(pages: int, sequential: bool, events: int = 20_000_000) -> float:
    """Return events a second over ``pages`` 8-byte records on huge host pages."""
    array = sparse(pages, np.int64, True)
    array[:] = 0
    key = np.uint64(1)
    if sequential:
        events = max(events, pages)
        ways = [lambda count: _sequential(array, count)]
    else:
        ways = [
            lambda count: _random(array, key, count),
            lambda count: _random_prefetched(array, key, count),
        ]
    for way in ways:
        way(1000)
    return max(
        _rate(lambda way=way: way(events), events)
        for way in ways
        for _ in range(REPEATS)
    )
