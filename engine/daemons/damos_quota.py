"""Quotas of DAMON's schemes: how much, for which regions first, when (DAMOS).

``docs/model/damon.md`` 6; mm/damon/core.c and ops-common.c, 6.12 to 6.16.  What a
scheme has done so far is plain numbers in a dictionary, so that checkpoints have it.
"""

from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ...kernels import state as st
from ...kernels.damon.damon_regions import BP, DamonRegion
from ...kernels.words import PAGE_SHIFT, PAGE_SIZE
from .damos import Quota, QuotaGoal, Scheme, Watermarks

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Priorities are 0 to this (DAMOS_MAX_SCORE, include/linux/damon.h).
MAX_SCORE = 99
_MAX_SUBSCORE, _MAX_AGE_IN_LOG = 100, 32
_GOAL, _MIN_INPUT, _MOST = 10_000, 10_000, (1 << 63) - 1
_MS = 1_000_000


class SchemeState(TypedDict):
    """What a scheme has done; sizes in bytes, intervals in samples."""

    activated: int
    next_apply: int
    esz: int  # what the quota allows now; 0: nothing limits it
    esz_bp: int
    charged_from: int  # ns: when the interval began; -1: never
    charged: int
    total_charged: int
    total_charged_ns: int
    min_score: int
    charge_target: int  # where the last interval ended; -1: nowhere
    charge_page: int
    nr_tried: int
    sz_tried: int
    nr_applied: int
    sz_applied: int
    qt_exceeds: int


def new_state(next_apply: int) -> SchemeState:
    """Return the state of a scheme that has done nothing."""
    state = dict.fromkeys(SchemeState.__annotations__, 0)
    state |= {"activated": 1, "charged_from": -1, "charge_target": -1}
    state["next_apply"] = next_apply
    return state  # type: ignore[return-value]


def is_full(scheme: Scheme, state: SchemeState) -> bool:
    """Tell whether a scheme has done all that it may in this interval."""
    return state["esz"] > 0 and state["charged"] >= state["esz"]


# --- which regions --------------------------------------------------------------------


def matches(scheme: Scheme, regions: np.ndarray) -> np.ndarray:
    """Return bool[regions]: which have a scheme's pattern (__damos_valid_target)."""
    size = (regions[:, DamonRegion.END] - regions[:, DamonRegion.START]) << PAGE_SHIFT
    seen, age = (
        regions[:, DamonRegion.NR_ACCESSES_BP] // BP,
        regions[:, DamonRegion.AGE],
    )
    return (
        (scheme.min_sz <= size)
        & (size <= scheme.max_sz)
        & (scheme.min_nr_accesses <= seen)
        & (seen <= scheme.max_nr_accesses)
        & (scheme.min_age <= age)
        & (age <= scheme.max_age)
    )


def scores(
    scheme: Scheme, regions: np.ndarray, window: int, aggregation_ns: int
) -> np.ndarray:
    """Return int64[regions]: their priorities, from 0 to MAX_SCORE.

    window  samples in an aggregation
    damon_pa_scheme_score
    """
    if scheme.action not in ("migrate_hot", "migrate_cold", "pageout"):
        return np.full(len(regions), MAX_SCORE, np.int64)
    hot = hot_score(scheme.quota, regions, window, aggregation_ns)
    return hot if scheme.action == "migrate_hot" else MAX_SCORE - hot


def hot_score(
    quota: Quota, regions: np.ndarray, window: int, aggregation_ns: int
) -> np.ndarray:
    """Return how hot regions are, by how often they are used and for how long.

    damon_hot_score
    """
    seen = regions[:, DamonRegion.NR_ACCESSES_BP] // BP
    often = seen * _MAX_SUBSCORE // window
    seconds = regions[:, DamonRegion.AGE] * aggregation_ns // quota.age_unit_ns
    # How often it can be halved before it is 0: exact, as ages are small numbers.
    log = np.minimum(np.frexp(seconds.astype(np.float64))[1], _MAX_AGE_IN_LOG)
    log = np.where(often == 0, -log, log).astype(np.int64) + _MAX_AGE_IN_LOG
    long = log * _MAX_SUBSCORE // _MAX_AGE_IN_LOG // 2
    weights = quota.weight_nr_accesses, quota.weight_age
    hot = weights[0] * often + weights[1] * long
    if sum(weights):
        hot //= sum(weights)
    return np.clip(hot * MAX_SCORE // _MAX_SUBSCORE, 0, MAX_SCORE)


# --- how much -------------------------------------------------------------------------


def feed_loop_next_input(last: int, score: int) -> int:
    """Return the next input of a loop that is to have the score 10,000.

    ``last`` gave ``score``.  damon_feed_loop_next_input (6.12)
    """
    if score == _GOAL:
        return last
    if score >= 2 * _GOAL:
        return _MIN_INPUT
    compensation = last * abs(score - _GOAL) // _GOAL
    if score > _GOAL:
        return max(last - compensation, _MIN_INPUT)
    return min(last + compensation, _MOST)


def node_mem_bp(simulation: "Simulation", goal: QuotaGoal) -> int:
    """Return the share of a node's memory, 1e-4 (damos_get_node_mem_bp, 6.16)."""
    total = simulation.machine.memory[goal.node] >> PAGE_SHIFT
    free = int(simulation.memory.node[goal.node, st.Node.FREE])
    part = free if goal.metric == "node_mem_free_bp" else total - free
    return part * BP // total


def effective_size(simulation: "Simulation", quota: Quota, state: SchemeState) -> int:
    """Return how many bytes a quota allows (damos_set_effective_quota)."""
    if not quota.ms and not quota.goals:
        return quota.sz
    size = _MOST
    if quota.goals:
        reached = [
            node_mem_bp(simulation, goal) * BP // goal.target_value
            for goal in quota.goals
        ]
        last = max(state["esz_bp"], BP)
        state["esz_bp"] = feed_loop_next_input(last, max(reached))
        size = state["esz_bp"] // BP
    if quota.ms:
        size = min(size, max(PAGE_SIZE, _throughput(state) * quota.ms))
    return min(size, quota.sz) if quota.sz else size


def _throughput(state: SchemeState) -> int:
    """Return the bytes a millisecond that a scheme has acted on so far."""
    if state["total_charged_ns"]:
        return state["total_charged"] * _MS // state["total_charged_ns"]
    return PAGE_SIZE * 1024


def adjust_quota(
    simulation: "Simulation",
    scheme: Scheme,
    state: SchemeState,
    regions: np.ndarray,
    priority: np.ndarray,
) -> None:
    """Begin a new interval if it is time, and set which priorities it is enough for.

    priority  int64[regions]: those of ``scores``
    damos_adjust_quota; the first interval has a size too, as from 6.17 on
    """
    if not scheme.quota.is_set:
        return
    if state["charged_from"] < 0:
        state["charged_from"] = simulation.now
        state["esz"] = effective_size(simulation, scheme.quota, state)
    elif simulation.now - state["charged_from"] >= scheme.quota.reset_interval_ns:
        state["qt_exceeds"] += is_full(scheme, state)
        state["total_charged"] += state["charged"]
        state["charged_from"], state["charged"] = simulation.now, 0
        state["esz"] = effective_size(simulation, scheme.quota, state)
    state["min_score"] = _least_score(scheme, state["esz"], regions, priority)


def _least_score(
    scheme: Scheme, esz: int, regions: np.ndarray, priority: np.ndarray
) -> int:
    """Return the priority down to which regions fill a quota."""
    which = matches(scheme, regions)
    sizes = (regions[:, DamonRegion.END] - regions[:, DamonRegion.START]) << PAGE_SHIFT
    by_score = np.zeros(MAX_SCORE + 1, np.int64)
    np.add.at(by_score, priority[which], sizes[which])
    filled = np.cumsum(by_score[::-1]) >= esz
    top = int(priority[which].max(initial=0))
    # Above the highest priority there is nothing: the walk begins there.
    filled[: MAX_SCORE - top] = False
    return MAX_SCORE - int(filled.argmax()) if filled.any() else 0


# --- when -----------------------------------------------------------------------------


def wait_ns(simulation: "Simulation", marks: Watermarks, state: SchemeState) -> int:
    """Return how long a scheme sleeps, ns; 0: it works (damos_wmark_wait_us)."""
    if marks.metric == "none":
        return 0
    free = int(simulation.memory.node[:, st.Node.FREE].sum())
    rate = free * 1000 // (sum(simulation.machine.memory) >> PAGE_SHIFT)
    if rate > marks.high or rate < marks.low:
        state["activated"] = 0
        return marks.interval_ns
    if marks.mid <= rate and not state["activated"]:
        return marks.interval_ns
    state["activated"] = 1
    return 0
