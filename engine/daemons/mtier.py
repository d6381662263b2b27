"""Self-tuned memory tiering: hot pages up, cold pages down, as fast as memory asks.

``docs/model/damon.md`` 9; samples/damon/mtier.c (Linux 6.16, 82a08bde3cf7).
"""

from .damon import Damon
from .damos import IntervalsGoal, Quota, QuotaGoal, Scheme

_MIB = 1 << 20
_MS, _S = 1_000_000, 1_000_000_000


def mtier(
    fast: int = 0,
    slow: int = 1,
    shrunk: float = 1.0,
    record: bool = False,
    shortest_ns: int = 1,
    reserve_bp: int = 0,
) -> tuple[Damon, Damon]:
    """Return the two DAMONs of the sample: one promotes, the other demotes.

    fast, slow   nodes
    shrunk       what all times, and the quota's bytes, are divided by
    record       whether they keep what they saw (``Damon.recorded``)
    shortest_ns  the least that a sampling interval is, whatever it is divided by
    reserve_bp   what of the fast node is not for pages, 1e-4: both goals leave it out

    A goal that its watermarks do not allow is never reached.  On a large node they are
    less than 0.3 % of it; on a small one the low one is to be given as the reserve.

    The first watches the slow node and moves what is used to the fast one, until 99.7 %
    of that is used; the other watches the fast node and moves what is not used down,
    until 0.5 % of it is free.  So there is always room, and always something that goes
    up: the goals overlap.  At most 200 MiB a second go each way.  Sampling intervals
    are tuned so that 4 % of samples see a use.
    """
    how = (shrunk, record, shortest_ns)
    used = QuotaGoal("node_mem_used_bp", 9970 - reserve_bp, fast)
    free = QuotaGoal("node_mem_free_bp", 50 + reserve_bp, fast)
    return _promotes(used, slow, *how), _demotes(free, slow, *how)


def _promotes(
    goal: QuotaGoal, slow: int, shrunk: float, record: bool, shortest_ns: int
) -> Damon:
    scheme = Scheme(
        action="migrate_hot",
        node=goal.node,
        min_nr_accesses=1,
        apply_interval_ns=_time(_S, shrunk),
        young="young",
        quota=_quota(goal, shrunk),
    )
    return _watching(slow, scheme, shrunk, record, shortest_ns)


def _demotes(
    goal: QuotaGoal, slow: int, shrunk: float, record: bool, shortest_ns: int
) -> Damon:
    scheme = Scheme(
        action="migrate_cold",
        node=slow,
        max_nr_accesses=0,
        apply_interval_ns=_time(_S, shrunk),
        young="old",
        quota=_quota(goal, shrunk),
    )
    return _watching(goal.node, scheme, shrunk, record, shortest_ns)


def _time(ns: int, shrunk: float) -> int:
    return max(1, round(ns / shrunk))


def _quota(goal: QuotaGoal, shrunk: float) -> Quota:
    """Return the quota of both: 200 MiB a second, by use and age alike."""
    return Quota(
        sz=max(4096, round(200 * _MIB / shrunk)),
        reset_interval_ns=_time(_S, shrunk),
        weight_nr_accesses=100,
        weight_age=100,
        age_unit_ns=_time(_S, shrunk),
        goals=(goal,),
    )


def _watching(
    node: int, scheme: Scheme, shrunk: float, record: bool, shortest_ns: int
) -> Damon:
    sampling = max(shortest_ns, _time(5 * _MS, shrunk))
    longest = max(sampling, _time(10 * _S, shrunk))
    return Damon(
        node=node,
        sampling_ns=sampling,
        aggregation_ns=20 * sampling,
        update_ns=max(sampling, _time(60 * _S, shrunk)),
        schemes=(scheme,),
        intervals_goal=IntervalsGoal(400, 3, sampling, longest),
        record=record,
    )
