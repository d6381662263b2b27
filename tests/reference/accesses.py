"""The accesses of each kind of workload.

``docs/model/quantum.md`` states the rules.
"""

from math import exp, log
from types import SimpleNamespace

from lazynuma.engine.doors.generator import Access
from lazynuma.engine.workloads.kinds import (
    HotCold,
    NextTouch,
    Recorded,
    Stencil,
    Stream,
    Sweep,
    Zipf,
)

from .draws import draw, hashed_key, mix, unit


def access(load, seed, stream, i, since=0):
    """Return (page of the region, write) of access ``i`` of a workload.

    since  ns since the run began, at the quantum's start
    """
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
    return load.first + random_page(load, n, r, i, since), write


def own_access(load, seed, stream, i, now, since):
    """Return (page of the region, write, refs) that a user's function returns."""
    key = hashed_key(seed, stream)
    key -= key >> 63 << 64
    one = Access(load.task.id, i, key, load.length, now, since)
    mine = SimpleNamespace(**load.arrays, **load.parameters)
    page, write, *refs = load.generate(one, mine)
    refs = int(refs[0]) if refs else load.refs
    return load.first + int(page), bool(write), refs


def moved(load, since):
    """Return by how many pages time has moved the hot set."""
    return since // load.period_ns * load.step if load.period_ns else 0


def random_page(load, n, r, i, since):
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
        return (min(max(rank, 0), n - 1) * load.odd + moved(load, since)) % n
    if isinstance(load, HotCold) and (mix(r) & 2047) < round(load.hot_share * 2048):
        window = (i // load.period * load.step + moved(load, since)) % n
        return (window + int(unit(r) * load.hot_pages)) % n
    return int(unit(r) * n)
