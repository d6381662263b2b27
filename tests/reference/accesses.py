"""The accesses of each kind of workload.

``docs/model/quantum.md`` states the rules.
"""

from math import exp, log

from lazynuma.engine.workloads.kinds import (
    HotCold,
    NextTouch,
    Recorded,
    Stencil,
    Stream,
    Sweep,
    Zipf,
)

from .draws import draw, mix, unit


def access(load, seed, stream, i):
    """Return (page of the region, write) of access ``i`` of a workload."""
    n = load.length
    if isinstance(load, Recorded):
        return int(load.vpn[i]), bool(load.writes[i])
    if isinstance(load, Stream):
        pages = n // 3
        array = (1, 2, 0)[i % 3]
        return load.first + array * pages + i // 3 % pages, array == 0
    if isinstance(load, Stencil):
        below = load.halo if load.lower is not None else 0
        above = load.halo if load.upper is not None else 0
        j = i % (below + n + above)
        if j < below:
            return load.lower + j, False
        if j < below + n:
            return load.first + j - below, True
        return load.upper + j - below - n, False
    r = draw(seed, stream, i)
    write = (r & 2047) < round(load.write * 2048)
    return load.first + random_page(load, n, r, i), write


def random_page(load, n, r, i):
    """Return the page of the kinds whose writes are drawn."""
    if isinstance(load, Sweep):
        return (load.start + i * load.stride) % n
    if isinstance(load, NextTouch):
        return (i * load.odd + load.shift) % n
    if isinstance(load, Zipf):
        s = load.exponent
        if s == 1.0:
            rank = int(exp(unit(r) * log(n + 1.0))) - 1
        else:
            base = unit(r) * ((n + 1.0) ** (1.0 - s) - 1.0) + 1.0
            rank = int(base ** (1.0 / (1.0 - s))) - 1
        return min(max(rank, 0), n - 1) * load.odd % n
    if isinstance(load, HotCold) and (mix(r) & 2047) < round(load.hot_share * 2048):
        window = i // load.period * load.step % n
        return (window + int(unit(r) * load.hot_pages)) % n
    return int(unit(r) * n)
