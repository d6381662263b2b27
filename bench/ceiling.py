"""The ceiling: what memory alone allows, with one read-modify-write per event."""

import time
from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from lazynuma.engine.state.host_memory import sparse
from lazynuma.kernels.draws import draw, uniform
from lazynuma.kernels.jit.prefetch import prefetch

#: Events between a prefetch and its use.
DISTANCE = 16
REPEATS = 3


@numba.njit(nogil=True)
def _random(array: np.ndarray, key: np.uint64, events: int) -> None:
    """Change ``events`` random records of an int64 array."""
    for i in range(events):
        array[uniform(draw(key, i), array.size)] += 1


@numba.njit(nogil=True)
def _random_prefetched(array: np.ndarray, key: np.uint64, events: int) -> None:
    """Do the same with a software prefetch."""
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
def _sequential(array: np.ndarray, events: int) -> None:
    """Change records in order, from the start again after the last."""
    done = 0
    while done < events:
        part = array[: min(array.size, events - done)]
        for i in range(part.size):
            part[i] += 1
        done += part.size


def _rate(work: Callable[[int], None], events: int) -> float:
    """Return the events/s of ``work(events)``."""
    begin = time.perf_counter()
    work(events)
    return events / (time.perf_counter() - begin)


def ceiling(pages: int, sequential: bool, events: int = 20_000_000) -> float:
    """Return the most events/s over ``pages`` records of 8 bytes on huge host pages."""
    array = sparse(pages, np.int64, True)
    array[:] = 0
    key = np.uint64(1)
    if sequential:
        events = max(events, pages)
        ways = [partial(_sequential, array)]
    else:
        ways = [partial(_random, array, key), partial(_random_prefetched, array, key)]
    for way in ways:
        way(1000)
    return max(_rate(way, events) for way in ways for _ in range(REPEATS))
