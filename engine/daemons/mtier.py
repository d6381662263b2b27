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
) -> tuple[Damon, Damon]:
    """Return the two DAMONs of the sample: one promotes, the other demotes.

    fast, slow  nodes
    shrunk      what all times, and the quota's bytes, are divided by
    record      whether they keep what they saw (``Damon.recorded``)
    shortest_ns  the least that a sampling interval is, whatever it is divided by

    The first watches the slow node and moves what is used to the fast one, until 99.7 %
    of that is used; the other watches the fast node and moves what is not used down,
    until 0.5 % of it is free.  So there is always room, and always something that goes
    up: the goals overlap.  At most 200 MiB a second go each way.  Sampling intervals
    are tuned so that 4 % of samples see a use.
    """
    how = (fast, slow, shrunk, record, shortest_ns)
    return _half(*how, promotes=True), _half(*how, promotes=False)


def _half(
    fast: int,
    slow: int,
    shrunk: float,
    record: bool,
    shortest_ns: int,
    promotes: bool,
) -> Damon:
    def time(ns: int) -> int:
        return max(1, round(ns / shrunk))

    metric, value = ("used", 9970) if promotes else ("free", 50)
    goal = QuotaGoal(f"node_mem_{metric}_bp", value, fast)
    quota = Quota(
        sz=max(4096, round(200 * _MIB / shrunk)),
        reset_interval_ns=time(_S),
        weight_nr_accesses=100,
        weight_age=100,
        goals=(goal,),
    )
    used = {"min_nr_accesses": 1} if promotes else {"max_nr_accesses": 0}
    scheme = Scheme(
        action="migrate_hot" if promotes else "migrate_cold",
        node=fast if promotes else slow,
        apply_interval_ns=time(_S),
        young="young" if promotes else "old",
        quota=quota,
        **used,
    )
    sampling = max(shortest_ns, time(5 * _MS))
    return Damon(
        node=slow if promotes else fast,
        sampling_ns=sampling,
        aggregation_ns=20 * sampling,
        update_ns=time(60 * _S),
        schemes=(scheme,),
        intervals_goal=IntervalsGoal(400, 3, sampling, max(sampling, time(10 * _S))),
        record=record,
    )
