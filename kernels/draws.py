"""Random numbers that depend only on a key and a counter (splitmix64).

``docs/model/quantum.md`` 4.
"""

import numpy as np

from .jit.compile import inlined, kernel

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_U30, _U27, _U31 = np.uint64(30), np.uint64(27), np.uint64(31)
_U11 = np.uint64(11)
_UNIT = 2.0**-53


@inlined
def mix(z):
    """Return splitmix64's finaliser of a uint64."""
    z = (z ^ (z >> _U30)) * _MIX_A
    z = (z ^ (z >> _U27)) * _MIX_B
    return z ^ (z >> _U31)


@inlined
def stream_key(seed, stream):
    """Return the uint64 key of a stream of draws."""
    return mix(np.uint64(seed) + _GOLDEN * (np.uint64(stream) + np.uint64(1)))


@inlined
def draw(key, number):
    """Return the uint64 of a stream's draw ``number``."""
    return mix(key + _GOLDEN * (np.uint64(number) + np.uint64(1)))


@inlined
def unit(r):
    """Return a float in [0, 1) from the top 53 bits of a draw."""
    return np.float64(np.int64(r >> _U11)) * _UNIT


@inlined
def uniform(r, n):
    """Return an integer in [0, n) from the top 53 bits of a draw."""
    return int(unit(r) * n)


@inlined
def low_bits(r):
    """Return the low 11 bits of a draw: 0 to 2047."""
    return np.int64(r & np.uint64(2047))


# --- for Python -----------------------------------------------------------------------


@kernel
def key_of(seed, stream):
    """Return ``stream_key`` as an int64, as tables of workloads have it."""
    return np.int64(stream_key(seed, stream))


@kernel
def draw_of(seed, stream, number):
    """Return draw ``number`` of a stream, from 0 to 2^64 - 1."""
    return draw(stream_key(seed, stream), number)
