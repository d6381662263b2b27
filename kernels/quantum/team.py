"""A team of threads that shares jobs, unit by unit, without sleeping in between.

The leader posts a job and its number of units.  Each thread takes the next unit until
none is left.  So a job is done at the pace of the threads that are there, and by the
leader alone if there are no others.  Followers wait a while for the next job.  They let
other threads run but do not sleep: waking a thread takes a tenth of a small quantum.

``team`` is int64[TEAM_WIDTH], shared by all members.
"""

from enum import IntEnum
from typing import Final

from ..jit.atomic import add, load, sched_yield, store, swap
from ..jit.compile import inlined, kernel
from ..words import NONE


class Team(IntEnum):
    """Words of a team; those that change at different times are 128 bytes apart."""

    TICKET = 0
    DONE = 16  # units of the job that are done
    KIND = 32  # of the job
    UNITS = 33  # of the job
    PRESENT = 48  # followers


TEAM_WIDTH: Final = 64

# A ticket: bits 0-19 the next unit, 20-39 the units of the job, 40-62 the job's number.
# All are in one word, so that no thread can take a unit of a job that is over.
_BITS: Final = 20
UNITS_MAX: Final = (1 << _BITS) - 1
_JOBS: Final = (1 << 23) - 1
#: The ticket that sends the followers home.
_DISMISSED: Final = -1
#: A follower lets others run this many times, about a millisecond, then it leaves.
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
    """Take the next unit of the job and return it; NONE if none is left."""
    while True:
        ticket = load(team, Team.TICKET)
        unit = ticket & UNITS_MAX
        if ticket < 0 or unit >= ticket >> _BITS & UNITS_MAX:
            return NONE
        if swap(team, Team.TICKET, ticket, ticket + 1):
            return unit


@inlined
def note_done(team):
    """Note that a unit is done."""
    add(team, Team.DONE, 1)


@inlined
def is_over(team, units):
    """Tell whether all units of the job are done; if not, let others run."""
    if load(team, Team.DONE) == units:
        return True
    sched_yield()
    return False


@inlined
def is_dismissed(team, waited):
    """Tell whether a follower may leave after ``waited`` waits; if not, wait again."""
    if waited == PATIENCE or load(team, Team.TICKET) < 0:
        add(team, Team.PRESENT, -1)
        return True
    sched_yield()
    return False


@kernel
def join(team):
    """Count a follower that is going to join."""
    add(team, Team.PRESENT, 1)


@kernel
def dismiss(team):
    """Send the followers home."""
    store(team, Team.TICKET, _DISMISSED)
