"""When a run has converged: whole runs, and quanta made by hand."""

import math

import numpy as np
import pytest

from common.numa_world import FREE, HUGE, MS
from lazynuma.engine import Recorded, Settings, Simulation, uniform
from lazynuma.engine.quantum.convergence import Locality


def run_of(parts):
    """Return the convergence of a run of (node, accesses) by single accesses.

    Accesses of 108 us at home and 188 us on node 1, in quanta of about 10 ms.
    """
    settings = Settings(sequential=True, quantum_ns=10 * MS)
    sim = Simulation(uniform(2, 16 * HUGE), settings, FREE)
    process = sim.spawn(nbytes=16 * HUGE)
    task = sim.start_task(process, 0)
    region = sim.mmap(process, 2 * 4096)
    sim.populate(task, region, 0, 1)
    sim.move_task(task, 1)
    sim.populate(task, region, 1, 1)
    sim.move_task(task, 0)
    pages = np.concatenate([np.full(count, node) for node, count in parts])
    load = Recorded(
        task=task,
        region=region,
        count=len(pages),
        vpn=pages.astype(np.int64),
        writes=np.ones(len(pages), bool),
        refs=1000,
    )
    start = sim.now
    sim.run([load])
    return sim.summary()["converged_ns"], sim.now - start


def test_a_run_that_was_always_local_converged_at_once():
    assert run_of([(0, 1000)])[0] == 0


def test_a_run_that_ends_remote_never_converged():
    assert math.isnan(run_of([(0, 1000), (1, 1000)])[0])
    assert math.isnan(run_of([(1, 1000)])[0])


def test_a_run_converges_when_its_last_bad_quantum_ends():
    """1000 remote accesses last 188 ms; the next quantum ends 10 ms later at most."""
    found, length = run_of([(1, 1000), (0, 9000)])
    assert 188 * MS <= found <= 199 * MS
    assert length >= 188 * MS + 9000 * 108_000
    # A tenth of a quantum may be remote.
    nine = run_of([(1, 1000), *[(0, 19), (1, 1)] * 200])[0]
    assert 188 * MS <= nine <= 199 * MS


def converged_ms(quanta):
    """Return the convergence in ms of quanta of 1 ms: (local, remote) accesses."""
    locality = Locality()
    touched = np.array([[100, 100], [7, 0]])
    locality.start(50 * MS, touched)
    for n, (local, remote) in enumerate(quanta, 1):
        touched += [[local, 0], [0, remote]]
        locality.note((50 + n) * MS, touched)
    return locality.converged_ns() / MS


def test_quanta_of_a_thousandth_of_the_accesses_are_taken_together():
    """10,000 accesses in quanta of 5: two of them are a window; 9 of 10 are local."""
    good = [(4, 1), (5, 0)]
    assert converged_ms(good * 1000) == 0
    assert converged_ms([(0, 5), (5, 0), *good * 999]) == 2
    assert converged_ms([*good * 3, (3, 2), (5, 0), *good * 996]) == 8
    assert math.isnan(converged_ms([*good * 999, (3, 2), (5, 0)]))
    # Nothing is served in some: they belong to the window that is next.
    assert converged_ms([(0, 0), (3, 2), (5, 0), *good * 999]) == 3


def test_a_run_of_few_quanta_is_looked_at_quantum_by_quantum():
    assert converged_ms([(8, 2), (9, 1), (10, 0)]) == 1
    # The second begins in the window 2 of 1000; in window 0 it was one with the first.
    assert converged_ms([(0, 2), (900, 98)]) == 1
    assert math.isnan(converged_ms([(0, 1), (900, 100)]))
    assert converged_ms([(90, 10)]) == 0
    assert math.isnan(converged_ms([(89, 11)]))


def converged(shares, accesses=100, start=1000):
    """Return the time of a run whose quanta, 10 ns each, had these local shares."""
    locality, touched = Locality(), np.array([[7, 3], [0, 5]])
    locality.start(start, touched)
    for i, share in enumerate(shares):
        local = round(share * accesses)
        touched = touched + [[local, 0], [0, accesses - local]]
        locality.note(start + 10 * (i + 1), touched)
    return locality.converged_ns()


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([1, 1, 1], 0),
        ([0.9, 0.9], 0),
        ([0, 0.5, 0.9, 1], 20),
        ([1, 0.89, 1, 1], 20),
        ([0, 1, 0.5], math.nan),
        ([], math.nan),
    ],
)
def test_convergence_is_the_end_of_the_last_bad_quantum(shares, expected):
    """Short runs: every quantum is a window of its own."""
    assert converged(shares) == pytest.approx(expected, nan_ok=True)


def test_short_quanta_are_taken_together():
    """Of 4000 quanta four make a window: one bad in four does not spoil it."""
    quarter = [1, 1, 1, 0.7] * 1000
    assert converged(quarter) == 0
    assert converged([0] * 10 + quarter[10:]) == 120
