"""DAMON: how often each region of memory is used, by looking at a page of each.

``docs/model/damon.md``; kdamond_fn (mm/damon/core.c) and the operations of vaddr.c and
paddr.c, Linux 6.12 to 6.16.  Times are ns, places pages.
"""

from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kernels import state as st
from ...kernels.damon.damon_regions import (
    BP,
    DamonRegion,
    draw_pages,
    merge_regions,
    split_regions,
    update_access_rate,
)
from ...kernels.damon.damon_young import check_accesses, prepare_access_checks
from ...kernels.draws import key_of
from ...kernels.words import NONE
from ..errors import BadInput
from ..state.process import Process, Region
from .damon_targets import evenly_split, set_regions, three_regions
from .damos import IntervalsGoal, Scheme, check_node, check_nodes, checked_schemes
from .damos_apply import apply_schemes
from .damos_quota import SchemeState, feed_loop_next_input, new_state, wait_ns

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Streams of the draws of DAMONs, from here on: one each (``docs/model/quantum.md`` 4).
STREAM = (1 << 62) + (1 << 61)
#: The columns of what ``Damon.regions`` and ``Damon.recorded`` return.
_SHOWN = "time_ns", "target", "process", "first", "pages", "nr_accesses", "age"
REGION = np.dtype([(name, np.int64) for name in _SHOWN])
_MIN_NR_REGIONS = 3
_ROW = len(DamonRegion)


class Damon:
    """A daemon that watches memory by regions, and acts on them by schemes.

    targets         what it watches: a Process, a Region, several, or None for all
                    processes; a Region stays as it is, a process's mappings are looked
                    up again each ``update_ns``
    node            a node, whose frames it watches instead (paddr)
    sampling_ns     a page of each region is looked at so often
    aggregation_ns  so often are regions merged and split
    min_regions, max_regions   how many there are to be, of all targets together
    schemes         what is done with which regions
    intervals_goal  what both intervals are tuned for
    check_ns        what it takes to make a page old, or to ask whether it is young
    record          whether ``recorded`` is to have all aggregations

    Raises BadInput for a value that is out of range; when it is started for a target
    or a node that does not exist.
    """

    def __init__(
        self,
        targets: "Process | Region | Iterable[Process | Region] | None" = None,
        *,
        node: int | None = None,
        sampling_ns: float = 5_000_000,
        aggregation_ns: float = 100_000_000,
        update_ns: float = 60_000_000_000,
        min_regions: int = 10,
        max_regions: int = 1000,
        schemes: Iterable[Scheme] = (),
        intervals_goal: IntervalsGoal | None = None,
        check_ns: int = 200,
        record: bool = False,
    ) -> None:
        self.sampling_ns = _whole("sampling_ns", sampling_ns, 1)
        self.aggregation_ns = _whole("aggregation_ns", aggregation_ns, 1)
        self.update_ns = _whole("update_ns", update_ns, 1)
        self.min_regions = _whole("min_regions", min_regions, _MIN_NR_REGIONS)
        self.max_regions = _whole("max_regions", max_regions, 1)
        self.check_ns = _whole("check_ns", check_ns, 0)
        self.record, self.node = record, node
        self.schemes = checked_schemes(schemes)
        self.intervals_goal = intervals_goal
        self._check()
        #: Samples in an aggregation, which tuning does not change.
        self.window = self.aggregation_ns // self.sampling_ns
        #: Which random numbers it draws: its place among the daemons of its simulation.
        self._stream = 0
        self._given = _given(targets, node)
        self.wakes_ns = 0
        #: The number of each target's process; -1 of frames.
        self.targets: list[int] = []
        self.table = np.zeros((0, _ROW), np.int64)
        #: int64[regions]: what is looked at when it wakes.
        self._pages = np.zeros(0, np.int64)
        self._draws = self._last_count = self._size_limit = 0
        #: Samples so far, and those after which something is due.
        self.passed = self._next_aggregation = self._next_update = self._next_tune = 0
        self.states: list[SchemeState] = []
        self.aggregations = 0
        self._seen: list[np.ndarray] = []
        self._last_seen = np.zeros((0, len(_SHOWN)), np.int64)
        #: How long it sleeps because of watermarks, ns; 0: it is at work.
        self._sleeps = 0

    def _check(self) -> None:
        """Raise BadInput if two attributes do not fit (damon_set_attrs)."""
        if self.sampling_ns > self.aggregation_ns:
            raise BadInput(
                "sampling_ns must be at most aggregation_ns,"
                f" got {self.sampling_ns}, {self.aggregation_ns}"
            )
        if self.min_regions > self.max_regions:
            raise BadInput(
                "min_regions must be at most max_regions,"
                f" got {self.min_regions}, {self.max_regions}"
            )
        goal = self.intervals_goal
        if goal is not None and not isinstance(goal, IntervalsGoal):
            raise BadInput(f"intervals_goal must be an IntervalsGoal, got {goal!r}")

    # --- the daemon -------------------------------------------------------------------

    def begin(self, simulation: "Simulation") -> None:
        """Check what it was given against the simulation that it is to watch."""
        check_nodes(self.schemes, simulation.machine)
        if self.node is not None:
            check_node("node", self.node, simulation.machine)
        numbers = self._given.get("process", [])
        if max(numbers, default=-1) >= len(simulation.processes):
            raise BadInput(
                f"targets must be of this simulation, got process {max(numbers)}"
            )
        self._stream = len(simulation.daemons)

    def wake(self, simulation: "Simulation") -> None:
        """Look at the pages that were drawn; merge, act and split if it is time."""
        if not len(self.table):
            self._start(simulation)
            return
        if not self._sleeps:
            most = self._sample(simulation)
            self._after_sampling(simulation, most)
        self._prepare(simulation)

    def _start(self, simulation: "Simulation") -> None:
        """Make the first regions; wait if there is nothing to watch yet."""
        self.targets, ranges = self._find(simulation)
        self.wakes_ns = simulation.now + self.sampling_ns
        if not any(ranges):
            return
        rows = ranges
        if self._is_adaptive:
            rows = evenly_split(ranges, self.min_regions)
        self.table = _table(rows)
        self._size_limit = self._limit()
        self._set_next()
        waits = [one.apply_interval_ns or self.aggregation_ns for one in self.schemes]
        steps = [self.passed + wait // self.sampling_ns for wait in waits]
        self.states = self.states or [new_state(step) for step in steps]
        self._prepare(simulation)

    def _set_next(self) -> None:
        """Set after how many samples what is due (kdamond_init_intervals_sis)."""
        self._next_aggregation = self.passed + self.window
        self._next_update = self.passed + self.update_ns // self.sampling_ns
        if self.intervals_goal is not None:
            aggregations = self.intervals_goal.aggrs
            self._next_tune = self.passed + self.window * aggregations

    @property
    def _is_adaptive(self) -> bool:
        """Whether regions follow the mappings of processes (vaddr)."""
        return self.node is None and "first" not in self._given

    def _find(
        self, simulation: "Simulation"
    ) -> tuple[list[int], list[list[tuple[int, int]]]]:
        """Return the targets and the [start, end) of each, sorted."""
        if self.node is not None:
            memory = simulation.memory
            start = self.node << int(memory.info[st.Info.NODE_SHIFT])
            return [NONE], [
                [(start, start + int(memory.node[self.node, st.Node.SPAN]))]
            ]
        if "first" in self._given:
            return _fixed(self._given)
        wanted = self._given.get("process")
        found = [
            one
            for one in simulation.processes
            if one.alive and one.vmas and (wanted is None or one.id in wanted)
        ]
        return [one.id for one in found], [three_regions(one) for one in found]

    # --- sampling ---------------------------------------------------------------------

    def _places(self, simulation: "Simulation") -> np.ndarray:
        """Return int64[n]: indices of PTEs, or frames, of the pages that were drawn."""
        if self.node is not None:
            return self._pages
        processes = simulation.processes
        deltas = np.array([processes[one].delta for one in self.targets], np.int64)
        alive = np.array([processes[one].alive for one in self.targets], np.bool_)
        target = self.table[:, DamonRegion.TARGET]
        return np.where(alive[target], self._pages + deltas[target], NONE)

    def _prepare(self, simulation: "Simulation") -> None:
        """Draw a page of each region, and make it old, unless all schemes sleep."""
        self.wakes_ns = simulation.now + self.sampling_ns
        if self._falls_asleep(simulation):
            return
        self._pages = np.empty(len(self.table), np.int64)
        draw_pages(self.table, self._key(simulation), self._draws, self._pages)
        self._draws += self._pages.size
        places = self._places(simulation)
        prepare_access_checks(simulation.memory, places, self.node is not None)
        simulation.charge(places.size * self.check_ns)

    def _key(self, simulation: "Simulation") -> np.int64:
        """Return the key of its stream of draws."""
        return np.int64(key_of(simulation.seed, np.uint64(STREAM + self._stream)))

    def _sample(self, simulation: "Simulation") -> int:
        """Look at the pages; return the most samples of a region that saw a use."""
        places = self._places(simulation)
        young = np.zeros(places.size, np.bool_)
        check_accesses(simulation.memory, places, self.node is not None, young)
        simulation.charge(places.size * self.check_ns)
        self.passed += 1
        return int(update_access_rate(self.table, young, self.window))

    # --- regions ----------------------------------------------------------------------

    def _after_sampling(self, simulation: "Simulation", most: int) -> None:
        """Do what is due after so many samples (kdamond_fn)."""
        aggregates = self.passed >= self._next_aggregation
        if aggregates:
            self._merge(simulation, most // 10)
        apply_schemes(simulation, self)
        if aggregates:
            self._next_aggregation = self.passed + self.window
            if self.intervals_goal is not None and self.passed >= self._next_tune:
                self._tune_intervals(self.intervals_goal)
            self._reset_aggregated()
            self._split(simulation)
        if self.passed >= self._next_update:
            self._next_update = self.passed + self.update_ns // self.sampling_ns
            self._update(simulation)

    def _limit(self) -> int:
        """Return the most pages of a region (damon_region_sz_limit)."""
        sizes = self.table[:, DamonRegion.END] - self.table[:, DamonRegion.START]
        return max(1, int(sizes.sum()) // self.min_regions)

    def _merge(self, simulation: "Simulation", threshold: int) -> None:
        limits = self.window, self._size_limit, self.max_regions
        count = merge_regions(self.table, threshold, *limits)
        self.table = self.table[:count].copy()
        self._last_seen = self._seen_now(simulation.now)
        self.aggregations += 1
        if self.record:
            self._seen.append(self._last_seen)

    def _reset_aggregated(self) -> None:
        self.table[:, DamonRegion.LAST_NR_ACCESSES] = self.table[
            :, DamonRegion.NR_ACCESSES
        ]
        self.table[:, DamonRegion.NR_ACCESSES] = 0

    def _split(self, simulation: "Simulation") -> None:
        """Split regions if there are few (kdamond_split_regions)."""
        count, parts = len(self.table), 2
        if count > self.max_regions // 2:
            return
        if count == self._last_count and count < self.max_regions // 3:
            parts = 3
        out = np.empty((parts * count, _ROW), np.int64)
        key = self._key(simulation)
        used = split_regions(self.table, parts, key, self._draws, out)
        self._draws += 2 * count
        self.table, self._last_count = out[:used].copy(), count

    def _update(self, simulation: "Simulation") -> None:
        """Look up what is mapped now (damon_va_update)."""
        if self._is_adaptive:
            targets, ranges = self._find(simulation)
            rows = {
                target: self.table[self.table[:, DamonRegion.TARGET] == i]
                for i, target in enumerate(self.targets)
            }
            none = self.table[:0]
            kept = [
                set_regions(rows.get(target, none), i, ranges[i])
                for i, target in enumerate(targets)
            ]
            self.targets, self.table = targets, np.concatenate([none, *kept])
        self._size_limit = self._limit()

    def _tune_intervals(self, goal: IntervalsGoal) -> None:
        """Make both intervals longer or shorter (kdamond_tune_intervals, 6.15)."""
        table = self.table
        sizes = table[:, DamonRegion.END] - table[:, DamonRegion.START]
        wanted = int(sizes.sum()) * self.window * goal.access_bp // BP
        seen = int((sizes * table[:, DamonRegion.NR_ACCESSES]).sum())
        score = seen * BP // max(1, wanted)
        adaptation = feed_loop_next_input(100_000_000, score) // BP
        if adaptation <= BP:
            adaptation = BP // 2 + adaptation // 2
        if adaptation == BP:
            self._next_tune = self.passed + self.window * goal.aggrs
            return
        longer = min(goal.max_sample_ns, self.sampling_ns * adaptation // BP)
        before = self.aggregation_ns
        self.sampling_ns = max(goal.min_sample_ns, longer)
        self.aggregation_ns = self.sampling_ns * self.window
        table[:, DamonRegion.AGE] = (
            table[:, DamonRegion.AGE] * before // self.aggregation_ns
        )
        self._set_next()
        for scheme, state in zip(self.schemes, self.states, strict=True):
            wait = scheme.apply_interval_ns or self.aggregation_ns
            state["next_apply"] = self.passed + wait // self.sampling_ns

    # --- watermarks -------------------------------------------------------------------

    def _falls_asleep(self, simulation: "Simulation") -> bool:
        """Sleep on if no scheme is to work now (kdamond_wait_activation)."""
        waits = [
            wait_ns(simulation, scheme.watermarks, state)
            for scheme, state in zip(self.schemes, self.states, strict=True)
        ]
        self._sleeps = min(waits, default=0)
        if self._sleeps:
            self.wakes_ns = simulation.now + self._sleeps
        return self._sleeps > 0

    # --- what came out ----------------------------------------------------------------

    def regions(self) -> np.ndarray:
        """Return the regions of the last aggregation, as ``REGION``.

        first and pages are pages of the process, or frames of a node (process -1);
        nr_accesses is out of ``window`` samples; age counts aggregations.
        """
        return _as_regions([self._last_seen])

    def recorded(self) -> np.ndarray:
        """Return the regions of all aggregations, one behind the other, as ``REGION``.

        Empty unless ``record``.  A heat map: ``nr_accesses`` over ``time_ns`` and
        [first, first + pages).
        """
        return _as_regions(self._seen)

    def _seen_now(self, now: int) -> np.ndarray:
        """Return int64[regions, len(_SHOWN)]: the table as it is shown."""
        table = self.table
        target, start = table[:, DamonRegion.TARGET], table[:, DamonRegion.START]
        owners = np.array([*self.targets, NONE], np.int64)
        columns = [
            np.full(len(table), now),
            target,
            owners[target],
            start,
            table[:, DamonRegion.END] - start,
            table[:, DamonRegion.NR_ACCESSES],
            table[:, DamonRegion.AGE],
        ]
        return np.column_stack(columns)

    def stats(self) -> list[dict[str, int]]:
        """Return what each scheme did: nr_tried, sz_tried, nr_applied, sz_applied, ...

        ``qt_exceeds``: intervals in which its quota was full; ``effective_bytes``: what
        the quota allows now, 0 if nothing limits it.
        """
        names = "nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds"
        return [
            {name: state[name] for name in names} | {"effective_bytes": state["esz"]}  # type: ignore[literal-required]
            for state in self.states
        ]


def _whole(name: str, value: float, least: int) -> int:
    """Return an attribute as an integer; 5e6 is one."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or value != value // 1 or value < least:
        raise BadInput(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def _as_regions(tables: list[np.ndarray]) -> np.ndarray:
    """Return tables of ``_seen_now``, one behind the other, as ``REGION``."""
    rows = np.concatenate([np.zeros((0, len(_SHOWN)), np.int64), *tables])
    return np.ascontiguousarray(rows).view(REGION)[:, 0]


def _given(targets: Any, node: int | None) -> dict[str, list[int]]:
    """Return what is to be watched: numbers of processes, of regions, or {}."""
    if targets is None:
        return {}
    if node is not None:
        raise BadInput("targets must not be given with node, got both")
    if isinstance(targets, Process | Region):
        targets = [targets]
    several = list(targets) if isinstance(targets, Iterable) else [targets]
    if several and all(isinstance(one, Process) for one in several):
        return {"process": [one.id for one in several]}
    if several and all(isinstance(one, Region) for one in several):
        return {
            "process": [one.process.id for one in several],
            "first": [one.first for one in several],
            "end": [one.first + one.pages for one in several],
        }
    raise BadInput(f"targets must be processes, or regions, got {targets!r}")


def _fixed(
    given: dict[str, list[int]],
) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """Return the targets and ranges of regions that were given (fvaddr)."""
    targets = sorted(set(given["process"]))
    several = list(zip(given["process"], given["first"], given["end"], strict=True))
    return targets, [
        sorted((start, end) for who, start, end in several if who == one)
        for one in targets
    ]


def _table(ranges: list[list[tuple[int, int]]]) -> np.ndarray:
    """Return the table of new regions, from their ranges by target."""
    rows = [(i, *one) for i, several in enumerate(ranges) for one in several]
    table = np.zeros((len(rows), _ROW), np.int64)
    table[:, : DamonRegion.END + 1] = rows
    return table
