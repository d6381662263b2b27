"""The jobs of a quantum that threads share: generate, deal, serve, free.

``docs/model/quantum.md`` 10.  A unit of a job touches nothing that another unit of the
job changes, so it makes no difference which thread does which unit, or when.  All jobs
are one kernel: it is compiled once, and a thread stays in it from job to job
(``kernels/quantum/team.py``).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from ..frames.allotment import free_part, touch_ahead
from ..jit.arrays import Arrays, from_start
from ..jit.compile import inlined, kernel
from ..state import Info
from ..words import NONE
from .accesses import count_chunk, deal_chunk, generate_chunk
from .sampled import mark_chunk
from .serve import serve_shard
from .team import Team, is_dismissed, is_over, note_done, post, take


class Job(IntEnum):
    """What a team does, and what the unit is."""

    #: Lay out a chunk of the accesses and count them by shard.
    GENERATE = 0
    #: Copy a chunk of the layout to its shards' queues.
    DEAL = 1
    #: Touch host memory that will be needed (unit 0); serve accesses of a shard.
    SERVE = 2
    #: Free the frames that shards freed of a part of the blocks.
    FREE = 3
    #: Count the accesses of a chunk of the layout by shard.
    COUNT = 4


@dataclass(frozen=True, eq=False, repr=False)
class Work(Arrays):
    """What a team works on, besides the Memory."""

    #: The workloads of the run (``engine/workloads/rows.py``).
    load: np.ndarray
    exponent: np.ndarray
    recorded: np.ndarray
    #: int64[accesses of the recording]: as words of the layout, in their order; the CPU
    #: that each is on, or NONE; the simulated time that it waits for, ns.
    trace: np.ndarray
    cpu: np.ndarray
    due: np.ndarray
    #: int64[tasks, ..], int64[chunks, len(Call)]: what users' functions read, and the
    #: calls of them (``own_accesses.py``).
    own: np.ndarray
    calls: np.ndarray
    #: int64[tasks + 1]: where each task's accesses begin in the layout.
    start: np.ndarray
    #: int64[most accesses]: the accesses in their order, and by shard.
    layout: np.ndarray
    queued: np.ndarray
    #: int64[chunks, S]: accesses of a chunk for each shard, then where they go.
    tally: np.ndarray
    #: int64[1]: most accesses of a shard that one job serves.
    limit: np.ndarray
    #: int64[threads, 2, hit_counts(nodes)]: what a run counts (``access_run.py``),
    #: zero before and after, and as much again that keeps threads apart.
    counts: np.ndarray
    #: int64[TEAM_WIDTH] (``kernels/quantum/team.py``).
    team: np.ndarray


_GENERATE, _DEAL, _SERVE = int(Job.GENERATE), int(Job.DEAL), int(Job.SERVE)
_COUNT: Final = int(Job.COUNT)


@inlined
def _apart(unit, units):
    """Return which unit is done when ``unit`` is taken: neighbours share cache lines.

    The order is: first of one half, first of the other, second of one half, and so on.
    """
    return unit % 2 * ((units + 1) // 2) + unit // 2


@inlined
def _do(m, w, kind, unit, counts):
    if kind == _GENERATE:
        generate_chunk(
            m.task,
            w.load,
            w.exponent,
            w.recorded,
            w.own,
            w.start,
            w.layout,
            w.calls,
            w.tally,
            unit,
        )
        if m.info[Info.SAMPLE_PERIOD]:
            mark_chunk(m.task, w.start, m.info[Info.SAMPLE_PERIOD], w.layout, unit)
    elif kind == _DEAL:
        deal_chunk(w.start, w.layout, w.tally, w.queued, unit)
    elif kind == _COUNT:
        end = w.start[w.start.size - 1]
        count_chunk(w.layout, end, from_start(w.tally[unit]), unit)
    elif kind == _SERVE and unit == 0:
        touch_ahead(m)
    elif kind == _SERVE:
        serve_shard(m, unit - 1, w.queued, w.limit[0], counts)
    else:
        free_part(m, unit)


@kernel
def share(m, w, kind, units, member):
    """Lead a job until it is done (``member`` 0), or follow until dismissed.

    kind, units  the Job and how many units it has; only the leader's values are used
    """
    counts = from_start(w.counts[member, 0])
    if member == 0:
        post(w.team, kind, units)
    waited = 0
    while True:
        unit = take(w.team)
        if unit != NONE:
            _do(m, w, w.team[Team.KIND], _apart(unit, w.team[Team.UNITS]), counts)
            note_done(w.team)
            waited = 0
        elif member == 0:
            if is_over(w.team, units):
                break
        else:
            if is_dismissed(w.team, waited):
                break
            waited += 1
