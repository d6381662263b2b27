"""How long locks are held here, as far as two CPUs can tell: settings of ``Locks``.

Two threads, each on a CPU of its own, do something that makes them wait for each other,
and something alike that does not; what the first costs more is waiting.
"""

import mmap
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import sqrt

import numpy as np

from . import probe
from .repeats import BLOCK, PAGE, Unmeasured, new_memory

_READ_WRITE, _READ = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ
#: Additions, calls and blocks of one repeat.
_ADDS, _CALLS, _BLOCKS = 200_000, 2000, 16
#: Words of a cache line, and of two that are not fetched together.
_APART = 32

Work = Callable[[], int]


# --- two threads ----------------------------------------------------------------------


def _two_cpus() -> list[int]:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Unmeasured("needs two CPUs, this process may run on one")
    return [cpus[0], cpus[-1]]


def _together(*works: Work) -> list[int]:
    """Do two works at the same time on two CPUs; return what each returned."""
    start = threading.Barrier(len(works))

    def one(work: Work, cpu: int) -> int:
        os.sched_setaffinity(0, {cpu})
        start.wait()
        return work()

    cpus = _two_cpus()[: len(works)]
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works, cpus))


def _beside(busy: Callable[[np.ndarray], None], work: Work) -> int:
    """Return what a work returns while another thread is busy on another CPU."""
    ended = np.zeros(1, np.int64)

    def until_it_ends() -> int:
        busy(ended)
        return 0

    def and_end() -> int:
        try:
            return work()
        finally:
            ended[0] = 1

    return _together(and_end, until_it_ends)[0]


def _spinning(ended: np.ndarray) -> None:
    probe.spin(ended, 0)


# --- the probes: one repeat each, ns --------------------------------------------------


def _line() -> float:
    """Return how much longer an atomic addition takes if another CPU adds, too."""

    def added(apart: int) -> int:
        words = np.zeros(2 * _APART, np.int64)
        return sum(
            _together(
                lambda: probe.add(words, 0, _ADDS),
                lambda: probe.add(words, apart, _ADDS),
            )
        )

    return (added(0) - added(_APART)) / (2 * _ADDS)


def _faults_of_one_table() -> float:
    """Return how long a fault holds the lock of its page table.

    Of two customers with exponential times each finds the other with the probability
    hold / cycle, and then waits for a hold: wait = hold^2 / cycle.
    """

    def faults(first: int, other: int, step: int) -> float:
        memory = new_memory(mmap.MADV_NOHUGEPAGE, 2 * _BLOCKS)
        half = _BLOCKS * BLOCK if step == PAGE else len(memory)
        parts = memory[first : first + half], memory[other:]
        took = _together(*(lambda part=part: probe.touch(part, step) for part in parts))
        return sum(took) / (2 * _BLOCKS * BLOCK // PAGE)

    shared = faults(0, PAGE, 2 * PAGE)
    wait = shared - faults(0, _BLOCKS * BLOCK, PAGE)
    return sqrt(max(0.0, wait) * shared)


def _calls(memory: memoryview) -> int:
    """Change the protection of a page to and fro, each time with a flush."""
    took, page = 0, memory[:PAGE]
    for _ in range(_CALLS // 2):
        took += probe.protect(page, _READ, PAGE, PAGE)
        took += probe.protect(page, _READ_WRITE, PAGE, PAGE)
        probe.touch(page, PAGE)
    return took


def _writer() -> float:
    """Return how much longer mprotect takes while another thread faults."""
    page, memory = _page(), new_memory(mmap.MADV_NOHUGEPAGE, 1)

    def faulting(ended: np.ndarray) -> None:
        probe.fault_until(memory, mmap.MADV_DONTNEED, ended)

    waits = _beside(faulting, lambda: _calls(page))
    return (waits - _beside(_spinning, lambda: _calls(page))) / _CALLS


def _shootdown() -> float:
    """Return how much longer mprotect that flushes takes while another thread runs."""
    page = _page()
    beside = _beside(_spinning, lambda: _calls(page))
    # Every second call takes a right away, and only such a call flushes.
    return 2 * (beside - _together(lambda: _calls(page))[0]) / _CALLS


def _page() -> memoryview:
    page = new_memory(mmap.MADV_NOHUGEPAGE, 1)
    probe.touch(page, PAGE)
    return page


#: By setting: one repeat, and how it is measured.
HOLDS: dict[str, tuple[Callable[[], float], str]] = {
    "tlb_flush_ns": (
        _shootdown,
        "mprotect of a written page while another thread of the process runs, less the"
        " same while none runs: the interrupt and its one receiver",
    ),
    "locks.mmap_lock_hold_ns": (
        _writer,
        "mprotect while another thread faults, less the same while it only runs",
    ),
    "locks.mmap_count_hold_ns": (
        _line,
        "atomic additions of two CPUs to one word, less those to two words",
    ),
    "locks.pte_lock_hold_ns": (
        _faults_of_one_table,
        "faults of two threads on alternate pages, beside those on page tables of"
        " their own: the square root of wait times cycle",
    ),
}

_OTHERS = "not measured: two CPUs also share caches and the bandwidth of memory"
#: Holds that two CPUs do not tell, and why.
BEYOND = {
    "locks.anon_vma_hold_ns": "not measured: needs migration, and so a second node",
    "locks.folio_lock_hold_ns": "not measured: needs migration, and so a second node",
    "locks.pmd_lock_hold_ns": "not measured: huge pages are cleared for far longer",
    "locks.zone_lock_hold_ns": _OTHERS,
    "locks.lru_lock_hold_ns": _OTHERS,
    "locks.swap_lock_hold_ns": "not measured: needs a swap device and memory pressure",
    "locks.tlb_flush_hold_ns": "not measured: needs a third CPU, which flushes, too",
}
