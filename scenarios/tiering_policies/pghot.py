"""pghot: hint faults write a record of each slow page; a thread promotes in batches.

"mm: Hot page tracking and promotion infrastructure", Bharata B Rao, linux-mm, v8 of
28 July 2026, under review (defaults: Documentation/admin-guide/mm/pghot of the series).
A page that is used ``FREQUENCY`` times within a window is ready; kmigrated of each slow
node wakes every 100 ms and promotes what is ready, within the limit of bytes a second.
The record is one byte (2 bits of frequency, 5 of time in steps of 128 ms, 1 ready), and
its pages go to one target node; or a precise one of four (3 bits of frequency, 14 of
time in steps of 1 ms, 10 of the node that used the page).

Left out: hardware samples as a second source (off by default there, too); the dynamic
threshold, which acts once the limit of 64 GiB/s is near.  Time comes in steps of 1 ms.
Scaled: window, steps of time, kmigrated's sleep and batches, and the scanner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...engine.doors.answers import STAY
from ...engine.doors.own_array import Own
from ...engine.doors.placement_policy import PlacementPolicy
from ...engine.machines.machine import Machine
from ...engine.settings.settings import Settings
from ...engine.simulation import Simulation
from ...engine.state.process import Process, Region
from ...kernels.words import PAGE_SIZE
from . import Rival, Scale
from .numab_tiering import scaled_balancing
from .tiers import Budget, Tiers, next_wake

#: Uses within the window that make a page ready (pghot_freq_threshold).
FREQUENCY = 2
#: kmigrated's sleep (kmigrated_sleep_ms), and its limit (the series keeps 65,536 MB/s).
SLEEP_NS, RATE = 100_000_000, 65_536 << 20
#: Pages that it moves at once (kmigrated_batch_nr).
BATCH = 512
_MS = 1_000_000


@dataclass(frozen=True)
class Record:
    """How a record is laid out, from bit 0 on: frequency, time, node, ready.

    dtype      of a record
    count_max  the largest frequency
    time_bits  bits of the time, in steps of ``step_ms``
    window_ms  in which uses add up (pghot_promote_freq_window_ms)
    nodes      whether it has the node of the user
    """

    dtype: str
    count_max: int
    time_bits: int
    step_ms: int
    window_ms: int
    nodes: bool


ONE_BYTE = Record("uint8", 3, 5, 128, 3000, False)
PRECISE = Record("uint32", 7, 14, 1, 5000, True)


class _Layout(NamedTuple):
    """A record's layout in numbers, with its times as they are here.

    time_shift, node_shift, ready  where its parts begin, and the bit that says ready
    """

    count_max: int
    time_shift: int
    time_mask: int
    step_ns: int
    window: int
    node_shift: int
    ready: int


def layout_of(record: Record, scale: Scale) -> _Layout:
    """Return where the parts of a record are."""
    count_bits = record.count_max.bit_length()
    end = count_bits + record.time_bits
    return _Layout(
        count_max=record.count_max,
        time_shift=count_bits,
        time_mask=(1 << record.time_bits) - 1,
        step_ns=scale.time(record.step_ms * _MS),
        window=record.window_ms // record.step_ms,
        node_shift=end,
        ready=1 << (8 * np.dtype(record.dtype).itemsize - 1),
    )


def rival(scale: Scale) -> Rival:
    """Return the policy with records of one byte."""
    return _rival("pghot", ONE_BYTE, scale)


def precise(scale: Scale) -> Rival:
    """Return the policy with precise records."""
    return _rival("pghot_precise", PRECISE, scale)


def _rival(name: str, record: Record, scale: Scale) -> Rival:
    policy = PlacementPolicy(
        promote=recorder(layout_of(record, scale), record.nodes),
        arrays=(Own("pghot", record.dtype, "page"),),
    )
    start = partial(_start, scale, record)
    return Rival(name, partial(_settings, scale), policy, start)


def _settings(scale: Scale, _machine: Machine) -> Settings:
    return Settings(balancing=scaled_balancing(scale))


def _start(
    scale: Scale,
    record: Record,
    simulation: Simulation,
    _process: Process,
    region: Region,
) -> None:
    simulation.start_daemon(KMigrated(region, simulation.machine, scale, record))


@cache
def recorder(layout: _Layout, nodes: bool) -> Callable:
    """Return what a hint fault on a slow page does: it records the use."""
    most, shift, mask = layout.count_max, layout.time_shift, layout.time_mask
    step, window, ready = layout.step_ns, layout.window, layout.ready
    node_shift = layout.node_shift

    def promote(fault: Any, mine: Any) -> int:
        page = fault.page // fault.pages * fault.pages
        record = int(mine.pghot[page])
        time = fault.now_ns // step & mask
        count = record & most
        age = time - (record >> shift & mask) & mask
        count = min(count + 1, most) if count > 0 and age <= window else 1
        if count >= FREQUENCY:
            record = record | ready
        record = record & ready | time << shift | count
        if nodes:
            record = record | fault.cpu_node << node_shift
        mine.pghot[page] = record
        return STAY

    return promote


class KMigrated:
    """kmigrated of all slow nodes: promotes what records say is ready."""

    def __init__(
        self, region: Region, machine: Machine, scale: Scale, record: Record
    ) -> None:
        self.region, self.tiers = region, Tiers(machine)
        self.layout, self.nodes = layout_of(record, scale), record.nodes
        self.period_ns = scale.time(SLEEP_NS)
        self.wakes_ns = self.period_ns
        self.batch = scale.time(BATCH)
        self.budget = Budget(RATE, self.period_ns)

    def wake(self, simulation: Simulation) -> None:
        """Promote ready pages in their order, and forget what was recorded of them."""
        records = simulation.own("pghot", self.region)
        ready = np.flatnonzero(records & self.layout.ready)
        pages = self.budget.refill(simulation.now, PAGE_SIZE) // PAGE_SIZE
        for node, some in self._by_target(records, ready[:pages]):
            moved = self._promote(simulation, some, node)
            self.budget.left -= moved * PAGE_SIZE
        simulation.set_own("pghot", self.region, ready[:pages], 0)
        self.wakes_ns = next_wake(simulation, self.period_ns)

    def _promote(self, simulation: Simulation, pages: np.ndarray, node: int) -> int:
        """Promote pages in batches, between which kswapd works; return pages moved."""
        moved = 0
        while len(pages):
            batch = max(self.batch, self.tiers.above_high(simulation, node))
            moved += simulation.promote(self.region, pages[:batch], node=node)
            pages = pages[batch:]
            simulation.run_kswapd()
        return moved

    def _by_target(
        self, records: np.ndarray, ready: np.ndarray
    ) -> list[tuple[int, np.ndarray]]:
        """Return the pages of each target node; it is one if records know none."""
        if not self.nodes:
            return [(self.tiers.fast[0], ready)] if len(ready) else []
        users = records[ready].astype(np.int64) >> self.layout.node_shift & 0x3FF
        return [
            (int(node), ready[users == node])
            for node in np.unique(users)
            if node in self.tiers.fast
        ]
