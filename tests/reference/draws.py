"""Random numbers that depend on a seed, a stream and a number only.

``docs/model/quantum.md`` states the rules.
"""

GOLDEN, U64 = 0x9E3779B97F4A7C15, (1 << 64) - 1


def mix(z):
    """splitmix64's finaliser."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & U64
    return z ^ (z >> 31)


def hashed_key(seed, stream):
    """The key of a stream."""
    return mix((seed + GOLDEN * (stream + 1)) & U64)


def draw(seed, stream, i):
    """hash(seed, stream, i) of the page."""
    key = hashed_key(seed, stream)
    return mix((key + GOLDEN * (i + 1)) & U64)


def unit(r):
    """A float in [0, 1)."""
    return float(r >> 11) * 2.0**-53
