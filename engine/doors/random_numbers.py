"""Random numbers for generators of a user's own: functions of (key, number) alone.

``key`` is that of an access, or ``another_key``; ``number`` that of the access, or any
other.  The same two give the same number on every machine (``docs/model/quantum.md``
4).  They can be called by functions that Numba compiles, and from Python.
"""

# mypy: allow-untyped-defs

import numba
import numpy as np

from ...kernels.draws import draw, low_bits, mix, uniform, unit

_SHARES = 2048


@numba.njit
def _unsigned(key):
    return np.uint64(np.int64(key))


@numba.njit
def _drawn(key, number):
    return draw(_unsigned(key), number)


@numba.njit
def random_bits(key, number):
    """Return 62 random bits, as an integer from 0 to 2^62 - 1."""
    return np.int64(_drawn(key, number) >> np.uint64(2))


@numba.njit
def random_unit(key, number):
    """Return a number from 0 up to, not including, 1: float64 of 53 bits."""
    return unit(_drawn(key, number))


@numba.njit
def random_page(key, number, pages):
    """Return an integer from 0 to ``pages`` - 1, as ``Uniform`` draws its pages."""
    return uniform(_drawn(key, number), pages)


@numba.njit
def random_write(key, number, share):
    """Return whether an access writes, as built-in workloads draw it.

    share  of the accesses that write, in steps of 1/2048
    It uses other bits than ``random_page`` of the same key and number.
    """
    return low_bits(_drawn(key, number)) < np.int64(round(share * _SHARES))


@numba.njit
def another_key(key, i):
    """Return a key whose numbers have nothing to do with those of ``key``.

    i  0, 1, 2, ..: which one
    """
    return np.int64(mix(_unsigned(key) ^ mix(np.uint64(i) + np.uint64(1))))
