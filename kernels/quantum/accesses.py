"""Accesses: made by a counter-based generator, then dealt to the shards.

An access is one int64: bits 0-35 virtual page, 36 write, 37 in the tail (counted by
itself), 38-58 task, 59-61 class of refs, 62 sampled.  The page of access number i
depends only on (seed, run, task, i), so batches and threads change nothing
(``docs/model/quantum.md`` 2, 4 and 5).
"""

from math import frexp
from typing import Final

import numpy as np

from ..draws import draw, low_bits, mix, uniform, unit
from ..jit.arrays import from_start
from ..jit.compile import inlined, kernel
from ..state import Info, Shard, Task
from ..words import (
    ACCESS_TAIL,
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    HPAGE_PMD_ORDER,
)
from .load_table import Load, LoadKind
from .own_accesses import lay_own

#: Accesses of one chunk of the layout, the unit of work of a thread.
CHUNK: Final = 1 << 12

#: Fibonacci hashing: 2^32 over the golden ratio.
_SCATTER: Final = 0x9E3779B1
_LOW_32: Final = (1 << 32) - 1
#: An int64 shifted right by this is -1 if it is negative, otherwise 0.
_SIGN: Final = 63
_SQRT_HALF: Final = 0.7071067811865476
_TWO_OVER_LN_2: Final = 2.8853900817779268
#: More than any page number has; ``_exp2`` takes less than 62.
_MOST_DOUBLINGS: Final = 61.0


@inlined
def shard_of(word, shards):
    """Return the shard of an access: its 2 MiB block, scattered.

    Otherwise tasks that sweep slabs of equal size would meet in few of the S shards.
    """
    block = (word & ACCESS_VPN) >> HPAGE_PMD_ORDER
    return (block * _SCATTER & _LOW_32) * shards >> 32


@inlined
def _exp2(x):
    """Return 2^x for x in [0, 62), with a relative error of 2e-12, by arithmetic alone.

    A Chebyshev fit of 2^f for the fraction f, so that all machines agree.
    """
    whole = np.int64(x)
    f = x - np.float64(whole)
    p = 1.8751874794044035e-06
    p = p * f + 1.4150973686206239e-05
    p = p * f + 0.0001551827330438416
    p = p * f + 0.0013326675384478374
    p = p * f + 0.00961837020004113
    p = p * f + 0.055504061386260725
    p = p * f + 0.24022651159353886
    p = p * f + 0.6931471803852967
    p = p * f + 1.000000000001082
    return p * np.float64(np.int64(1) << whole)


@inlined
def within(rank, n):
    """Clamp a rank to [0, n) without a branch: rounding may have put it outside."""
    over = rank - (n - 1)
    rank -= over & ~(over >> _SIGN)
    return rank & ~(rank >> _SIGN)


@inlined
def _zipf_rank_1(u, n, doublings):
    """Return the rank for exponent 1; ``doublings`` is log2(n + 1)."""
    return within(np.int64(_exp2(u * doublings)) - 1, n)


@inlined
def _log2(x):
    """Return log2(x) for x > 0, with an error of 1e-15, by arithmetic alone.

    The C library has another log2 for CPUs that multiply and add in one step.
    """
    m, whole = frexp(x)
    if m < _SQRT_HALF:
        m, whole = 2.0 * m, whole - 1
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    # The series of the inverse hyperbolic tangent; |s| is at most 0.172.
    p = 1.0 / 21.0
    for k in range(9, -1, -1):
        p = p * square + 1.0 / (2.0 * k + 1.0)
    return whole + _TWO_OVER_LN_2 * s * p


@inlined
def _power(x, y):
    """Return x^y for x > 0, with a relative error of 2e-12, by arithmetic alone."""
    doublings = y * _log2(x)
    raised = _exp2(min(abs(doublings), _MOST_DOUBLINGS))
    return raised if doublings >= 0.0 else 1.0 / raised


@inlined
def _zipf_rank(u, n, exponent):
    base = u * (_power(n + 1.0, 1.0 - exponent) - 1.0) + 1.0
    return within(np.int64(_power(base, 1.0 / (1.0 - exponent))) - 1, n)


@inlined
def _hotcold_page(load, t, i, r):
    pages = load[t, Load.PAGES]
    if low_bits(mix(r)) >= load[t, Load.B]:
        return uniform(r, pages)
    window = (i // load[t, Load.C] * load[t, Load.D] + load[t, Load.MOVED]) % pages
    return (window + uniform(r, load[t, Load.A])) % pages


@inlined
def _stream_page(load, t, i):
    """Return (page, write) of a triad's access; Load.A is the pages of an array."""
    pages = load[t, Load.A]
    which = i % 3
    array = 0 if which == 2 else which + 1
    return array * pages + i // 3 % pages, which == 2


@inlined
def _stencil_page(load, t, i):
    """Return (page, write); Load.A is the halo, B and C the neighbours' pages.

    Bits 0 and 1 of D say whether the lower and the upper neighbour exist.  All pages
    are relative to the slab's first one.
    """
    halo = load[t, Load.A]
    below = halo if load[t, Load.D] & 1 else 0
    above = halo if load[t, Load.D] & 2 else 0
    slab = load[t, Load.PAGES]
    j = i % (below + slab + above)
    if j < below:
        return load[t, Load.B] + j, False
    j -= below
    if j < slab:
        return j, True
    return load[t, Load.C] + j - slab, False


@inlined
def _page_of(load, exponent, t, i):
    """Return (vpn relative to Load.FIRST, write) of access ``i`` of task ``t``."""
    kind = load[t, Load.KIND]
    if kind == LoadKind.STREAM:
        return _stream_page(load, t, i)
    if kind == LoadKind.STENCIL:
        return _stencil_page(load, t, i)
    pages = load[t, Load.PAGES]
    r = draw(np.uint64(load[t, Load.KEY]), i)
    write = low_bits(r) < load[t, Load.WRITE]
    if kind == LoadKind.ZIPF:
        rank = _zipf_rank(unit(r), pages, exponent[t])
        return (rank * load[t, Load.A] + load[t, Load.MOVED]) % pages, write
    return _hotcold_page(load, t, i, r), write


@inlined
def _write_bit(r, write):
    """Return ACCESS_WRITE if an access writes, otherwise 0.

    r      draw of the access
    write  writes in 2048 accesses
    Writes come at random, so a branch would often be mispredicted.
    """
    return ((low_bits(r) - write) >> _SIGN) & ACCESS_WRITE


@inlined
def _remainder(x, n, inverse):
    """Return x % n for 0 <= x < 2^62 and n < 2^36, by the reciprocal of n.

    The quotient is wrong by at most one: its own error is n / 2^53.
    """
    rest = x - np.int64(np.float64(x) * inverse) * n
    rest += n & (rest >> _SIGN)
    over = rest - n
    return over + (n & (over >> _SIGN))


@inlined
def _lay_uniform(load, t, i, bits, layout, first, end):
    """Lay out accesses [first, end) of a uniform workload: vector code."""
    key = np.uint64(load[t, Load.KEY])
    pages = load[t, Load.PAGES]
    write = load[t, Load.WRITE]
    bits += load[t, Load.FIRST]
    for k in range(end - first):
        r = draw(key, i + k)
        layout[first + k] = bits + uniform(r, pages) | _write_bit(r, write)


@inlined
def _lay_zipf(load, t, i, bits, layout, first, end):
    """Lay out accesses [first, end) of a Zipf workload of exponent 1: vector code."""
    key = np.uint64(load[t, Load.KEY])
    pages = load[t, Load.PAGES]
    write = load[t, Load.WRITE]
    spread, moved = load[t, Load.A], load[t, Load.MOVED]
    doublings = _log2(pages + 1.0)
    inverse = 1.0 / pages
    bits += load[t, Load.FIRST]
    for k in range(end - first):
        r = draw(key, i + k)
        rank = _zipf_rank_1(unit(r), pages, doublings)
        page = _remainder(rank * spread + moved, pages, inverse)
        layout[first + k] = bits + page | _write_bit(r, write)


@inlined
def _lay_sweep(load, t, i, bits, layout, first, end):
    """Lay out accesses [first, end) of a sweep, without a division."""
    key = np.uint64(load[t, Load.KEY])
    pages = load[t, Load.PAGES]
    write = load[t, Load.WRITE]
    step = load[t, Load.B] % pages
    page = (load[t, Load.A] + i % pages * step) % pages
    bits += load[t, Load.FIRST]
    drawn = 0 < write and write < 2048
    if write == 2048:
        bits |= ACCESS_WRITE
    for k in range(first, end):
        word = bits + page
        if drawn:
            word |= _write_bit(draw(key, i + k - first), write)
        layout[k] = word
        page += step
        if page >= pages:
            page -= pages


@inlined
def _lay_trace(load, recorded, t, i, bits, layout, first, end):
    """Lay out accesses [first, end) of a trace."""
    bits += load[t, Load.FIRST]
    start = load[t, Load.A] + i
    for k in range(end - first):
        layout[first + k] = bits + recorded[start + k]


@inlined
def _lay_other(load, exponent, t, i, bits, layout, first, end):
    """Lay out accesses [first, end) of any other kind."""
    bits += load[t, Load.FIRST]
    for k in range(first, end):
        page, write = _page_of(load, exponent, t, i + k - first)
        word = bits + page
        if write:
            word |= ACCESS_WRITE
        layout[k] = word


@inlined
def _lay_run(task, load, exponent, recorded, own, t, i, layout, first, end, call):
    """Lay out a task's accesses from number ``i`` on, all in the tail or none."""
    bits = t << ACCESS_TASK_SHIFT
    if i >= task[t, Task.TAIL]:
        bits |= ACCESS_TAIL
    kind = load[t, Load.KIND]
    if kind == LoadKind.UNIFORM:
        _lay_uniform(load, t, i, bits, layout, first, end)
    elif kind == LoadKind.SWEEP:
        _lay_sweep(load, t, i, bits, layout, first, end)
    elif kind == LoadKind.TRACE:
        _lay_trace(load, recorded, t, i, bits, layout, first, end)
    elif kind == LoadKind.OWN:
        lay_own(load, own, t, i, bits, first, end, call)
    elif kind == LoadKind.ZIPF and exponent[t] == 1.0:
        _lay_zipf(load, t, i, bits, layout, first, end)
    else:
        _lay_other(load, exponent, t, i, bits, layout, first, end)


@inlined
def _lay_out_chunk(task, load, exponent, recorded, own, start, layout, call, chunk):
    """Lay out the accesses of one chunk."""
    k = chunk * CHUNK
    end = min(k + CHUNK, start[start.size - 1])
    t = np.searchsorted(start, k, "right") - 1
    while k < end:
        while start[t + 1] <= k:
            t += 1
        i = task[t, Task.NUMBER] + k - start[t]
        stop = min(end, start[t + 1])
        if i < task[t, Task.TAIL]:
            stop = min(stop, k + task[t, Task.TAIL] - i)
        _lay_run(task, load, exponent, recorded, own, t, i, layout, k, stop, call)
        k = stop


@inlined
def count_chunk(layout, end, counts, chunk):
    """Count the accesses of one chunk, of ``end`` in all, by shard."""
    for s in range(counts.size):
        counts[s] = 0
    for k in range(chunk * CHUNK, min((chunk + 1) * CHUNK, end)):
        counts[shard_of(layout[k], counts.size)] += 1


@inlined
def generate_chunk(
    task, load, exponent, recorded, own, start, layout, calls, tally, chunk
):
    """Lay out the accesses of a chunk and count them by shard.

    own     int64[tasks, ..]     what users' functions read (``own_accesses.py``)
    start   int64[tasks + 1]     where each task's accesses begin in the layout
    calls   int64[chunks, len(Call)]  calls of users' functions
    layout  int64[accesses]      the accesses in their order: by (task, number)
    tally   int64[chunks, S]     accesses of the chunk that each shard gets
    """
    call = from_start(calls[chunk])
    _lay_out_chunk(task, load, exponent, recorded, own, start, layout, call, chunk)
    count_chunk(layout, start[start.size - 1], from_start(tally[chunk]), chunk)


@kernel
def lay_out(task, start):
    """Set where each task's accesses begin, by the quotas; return their number."""
    at = 0
    tasks = start.size - 1
    for t in range(tasks):
        start[t] = at
        at += task[t, Task.QUOTA]
    start[tasks] = at
    return at


@kernel
def queue(m_info, shard, tally, chunks):
    """Turn the tally into positions in the shards' queues, and open the queues."""
    at = 0
    for s in range(m_info[Info.SHARDS]):
        shard[s, Shard.QUEUE_FIRST] = at
        shard[s, Shard.QUEUE_SERVED] = at
        shard[s, Shard.SET_ASIDE] = 0
        for chunk in range(chunks):
            count = tally[chunk, s]
            tally[chunk, s] = at
            at += count
        shard[s, Shard.QUEUE_END] = at


@inlined
def deal_chunk(start, layout, tally, queued, chunk):
    """Copy a chunk of the layout to its shards' queues, in order."""
    place, end = (
        from_start(tally[chunk]),
        min((chunk + 1) * CHUNK, start[start.size - 1]),
    )
    for k in range(chunk * CHUNK, end):
        word = layout[k]
        s = shard_of(word, place.size)
        queued[place[s]] = word
        place[s] += 1
