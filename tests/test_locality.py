"""When a run has converged, by hand-made quanta."""

import math

import numpy as np
import pytest

from lazynuma.engine.quantum.convergence import Locality


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
