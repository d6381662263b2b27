"""A lock that some read and others hold alone (``docs/model/locks.md`` 6).

Whoever comes first is served first, readers in a row at once.  The writers that wait or
hold the lock are a Markov chain; one reader is followed through what they leave free.
Times are exponential, ns.
"""

from typing import Final

from ..jit.compile import called, inlined

#: Rounds in which readers and writers get to know of each other, and what ends them.
_ROUNDS: Final = 10
_STEP: Final = 0.7
_PRECISE: Final = 1e-4
#: Chances are no less, nor what is divided by; sums are made smaller at the last.
_LEAST: Final = 1e-12
_TINY: Final = 1e-300
_LARGE: Final = 1e100


@inlined
def drain(readers, share, read):
    """Return what a writer meets of readers, of whom each is there for a share.

    (chance that there are any, ns until the last has gone if so, part of these that is
    left at any time).  The longest of n exponential times is the n-th harmonic number
    of them; n is binomial.
    """
    nobody, mean, spread = 1.0, 0.0, 0.0
    for k in range(1, readers + 1):
        nobody *= 1 - share
        mean += (1 - nobody) / k
        spread += (1 - nobody) / (k * k)
    return _met(1 - nobody, mean, spread, read)


@inlined
def gathered(readers, share, read):
    """Return, as ``drain``, what a writer meets of readers that came after another one.

    Each has come with the chance ``share`` in the time between the two, which is
    exponential: so they are many, or none.
    """
    odds, reached, some = (1 - share) / max(share, _LEAST), 1.0, 0.0
    mean, spread = 0.0, 0.0
    for k in range(1, readers + 1):
        left = readers - k + 1
        reached *= left / (left + odds)
        if k == 1:
            some = reached
        mean += reached / k
        spread += reached / (k * k)
    return _met(some, mean, spread, read)


@inlined
def _met(some, mean, spread, read):
    """Return what is met, of sums over the readers."""
    if some < _LEAST:
        return _LEAST, read, 1.0
    spread *= some / (mean * mean)
    return some, read * mean / some, (1 + min(1.0, spread)) / 2


@called
def writers_queue(writers, hold, rest, think, first, then):
    """Solve the queue of so many writers.

    hold, rest, think  of each: how long it holds the lock, what is left of a hold at
                       any time, and what is between two
    first, then        (chance, ns, part) of readers before a writer that finds no
                       other, and before one that does, as of ``drain``, ``gathered``
    Return (chance that a writer finds no other; ns until those that it finds have gone;
    acquisitions a ns; the writers as a reader sees them: the rate at which they come if
    none is there, chance and ns of ``first``, shares of the time in which there is none
    and in which there is one that does not wait for ``first``, ns until all have gone
    that are there, while one waits for ``first`` and while none does).
    """
    some, between = first[0], then[0]
    away = 1 / think
    free, total = 1.0, 1.0
    early, early_work, late, late_work = 0.0, 0.0, 0.0, 0.0
    came, waits = writers * away, 0.0
    draining, behind, held = 0.0, 0.0, 0.0
    for j in range(1, writers + 1):
        before, more = (writers - j + 1) * away, (writers - j) * away
        if j == 1:
            draining = before * some / (more + 1 / first[1])
            up, held = 0.0, hold * before
        else:
            up, there = before * behind, draining + behind + held
            draining *= before / (more + 1 / first[1])
            held = hold * before * there
        behind = up + between * more * (draining + held)
        behind /= more * (1 - between) + 1 / then[1]
        last = (j - 1) * (between * then[1] + hold)
        soon = draining * (first[2] * first[1] + hold + last)
        later = behind * (then[2] * then[1] + hold + last) + held * (rest + last)
        early, early_work = early + draining, early_work + soon
        late, late_work = late + behind + held, late_work + later
        total += draining + behind + held
        came += more * (draining + behind + held)
        waits += more * (soon + later)
        if total > _LARGE:
            scale = 1 / _LARGE
            draining, behind, held = draining * scale, behind * scale, held * scale
            early, early_work = early * scale, early_work * scale
            late, late_work = late * scale, late_work * scale
            free, total = free * scale, total * scale
            came, waits = came * scale, waits * scale
    alone, come = writers * away * free / came, writers * away
    lefts = early_work / max(early, _TINY), late_work / max(late, _TINY)
    seen = come, some, first[1], free / total, late / total, lefts[0], lefts[1], alone
    return alone, waits / came, came / total, seen


@inlined
def reader(read, pause, seen):
    """Follow a reader among writers; ``seen``: as of ``writers_queue``.

    It pauses, reads or waits, while there is no writer, while one waits for the readers
    that it met, or while others are there.
    read, pause  ns of a hold, and between two
    Return (chance that it has to wait; mean wait then, ns; chance that it reads while
    there is no writer and it does not wait; acquisitions a ns).
    """
    come, some, drained, free, late, left_early, left_late, alone = seen
    arrive, leave = 1 / pause, 1 / read
    back = leave / (leave + come)
    gone = max(come * free / max(late, _TINY), _TINY)
    # Its pauses while there are writers, in those while there are none.
    fixed = come * (1 + arrive / (leave + come)) / gone
    fewer = arrive * back * alone / gone
    kept = some * come / (arrive + 1 / drained)
    early_fixed = kept * (1 + arrive / (leave + come))
    more = kept * arrive * alone / (leave + come)
    pauses = (fixed + early_fixed) / (1 + fewer - more)
    early = min(early_fixed + more * pauses, pauses)
    reads = arrive * (1 + alone * pauses) / (leave + come)
    held_up = (come * reads + (1 - alone) * arrive * pauses) / leave
    waits = early * left_early + (pauses - early) * left_late
    whole = 1 + pauses + reads + held_up + arrive * waits
    rate = arrive * (1 + pauses) / whole
    return pauses / (1 + pauses), waits / pauses, reads / (reads + 1), rate


@called
def solve_readers(writers, hold, rest, think, readers, read, late, pause):
    """Solve a lock that ``readers`` and ``writers`` share; these as of their functions.

    late  what is left of a read that a writer finds, ns

    Return (what readers see, as of ``writers_queue``; what writers wait for each other
    and then for readers, ns; chance that they find the lock free).
    """
    active = read / (read + pause)
    joined = active
    for _ in range(_ROUNDS):
        first, then = drain(readers, active, late), gathered(readers, joined, read)
        alone, wait, rate, _ = writers_queue(writers, hold, rest, think, first, then)
        # A reader sees a world without itself.
        _, _, _, seen = writers_queue(
            writers,
            hold,
            rest,
            think,
            drain(readers - 1, active, late),
            gathered(readers - 1, joined, read),
        )
        blocked, _, reads, taken = reader(read, pause, seen)
        caught = min(1.0, taken * blocked / rate)
        change = abs(reads - active) + abs(caught - joined)
        active += _STEP * (reads - active)
        joined += _STEP * (caught - joined)
        if change < _PRECISE:
            break
    drained = alone * first[0] * first[1] + (1 - alone) * then[0] * then[1]
    return seen, wait, drained, alone * (1 - first[0])
