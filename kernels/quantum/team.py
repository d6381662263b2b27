"""A team of threads that shares jobs, unit by unit, without sleeping in between.

The leader posts a job of so many units.  Whoever is there takes the next unit until
none is left, so that a job gets done at the pace of those who are there, and by the
leader alone where nobody is.  Followers wait a while for the next job, giving way to
others but not sleeping: to wake a thread takes a tenth of a small quantum.

``team`` is int64[TEAM_WIDTH], shared by all members.
"""

from enum import IntEnum
from typing import Final

from ..jit.atomic import add, load, sched_yield, store, swap
from ..jit.compile import inlined, kernel
from ..words import NONE


class Team(IntEnum):
    """Words of a team, each in a cache line (and its neighbour) of its own."""

    TICKET = 0
    DONE = 16  # units of the job that are done
    KIND = 32  # of the job
    UNITS = 33  # of the job
    PRESENT = 48  # followers


TEAM_WIDTH: Final = 64

# A ticket: bits 0-19 the next unit, 20-39 the units of the job, 40-62 the job's number.
# All in one word, so that nobody can take a unit of a job that is over.
_BITS: Final = 20
UNITS_MAX: Final = (1 << _BITS) - 1
_JOBS: Final = (1 << 23) - 1
#: Ticket that sends the followers home.
_DISMISSED: Final = -1
#: Times that a follower lets others run before it goes home: about a millisecond.
PATIENCE: Final = 4000


@inlined
def post(team, kind, units):
    """Begin a job of ``units`` units; the one before it must be done."""
    job = (max(0, load(team, Team.TICKET)) >> 2 * _BITS) + 1 & _JOBS
    store(team, Team.KIND, kind)
    store(team, Team.UNITS, units)
    store(team, Team.DONE, 0)
    store(team, Team.TICKET, (job << _BITS | units) << _BITS)


@inlined
def take(team):
    """Return the next unit of the job and take it, or NONE where none is left."""
    while True:
        ticket = load(team, Team.TICKET)
        unit = ticket & UNITS_MAX
        if ticket < 0 or unit >= ticket >> _BITS & UNITS_MAX:
            return NONE
        if swap(team, Team.TICKET, ticket, ticket + 1):
            return unit


@inlined
def note_done(team):
    """Note that a unit which was taken is done."""
    add(team, Team.DONE, 1)


@inlined
def is_over(team, units):
    """Tell whether all units of the job are done; else let others run."""
    if load(team, Team.DONE) == units:
        return True
    sched_yield()
    return False


@inlined
def is_dismissed(team, waited):
    """Tell whether a follower that waited so often may go; else let others run."""
    if waited == PATIENCE or load(team, Team.TICKET) < 0:
        add(team, Team.PRESENT, -1)
        return True
    sched_yield()
    return False


@kernel
def join(team):
    """Count a follower that will come."""
    add(team, Team.PRESENT, 1)


@kernel
def dismiss(team):
    """Send the followers home."""
    store(team, Team.TICKET, _DISMISSED)
