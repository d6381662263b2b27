"""What came out of a simulation: counters, times, sizes; what observers are told."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import state as st
from ..kernels.counters import Cause, ScanResult, Vm
from ..kernels.frames.resident import count_resident
from ..kernels.quantum.lock_wait import LockStat
from ..kernels.words import HPAGE_PMD_NR, Kind
from .errors import BadInput
from .observer import ASLEEP, USER, NodeUse, cause_time
from .settings.locks import ROWS
from .state.parked_arrays import ids_of
from .state.process import Process, Task
from .state.ranges import pieces
from .state.snapshot import huge_by_node, take

if TYPE_CHECKING:
    from .simulation import Simulation

#: Entries of page tables that epochs may look at: these, and so many an access served.
LOOKS_FREE = 1 << 24
LOOKS_PER_ACCESS = 8
#: Causes that are a program's own time, and those of a task that does not run.
_USER = tuple(Cause[name] for name in USER)
_LOCK_WAITS = (Cause.LOCK_SLEEP, Cause.LOCK_SPIN)
_ASLEEP = tuple(Cause[name] for name in ASLEEP)


# --- counters -------------------------------------------------------------------------


def counters(simulation: "Simulation") -> np.ndarray:
    """Return int64[nodes, len(Vm)]: all events so far."""
    return simulation.totals + simulation.memory.vm.sum(axis=0)


def fold_counters(simulation: "Simulation") -> None:
    """Add what kernels have counted to the simulation's totals, and start at zero."""
    memory = simulation.memory
    simulation.totals += memory.vm.sum(axis=0)
    memory.vm[:] = 0


def total(simulation: "Simulation", name: str) -> int:
    """Return a counter by its /proc/vmstat name, over all nodes."""
    if name.upper() not in Vm.__members__:
        raise BadInput(f"counter must be one of kernels.counters.Vm, got {name!r}")
    return int(counters(simulation)[:, Vm[name.upper()]].sum())


def refusals(simulation: "Simulation") -> np.ndarray:
    """Return int64[len(Refusal)]: all refusals so far."""
    return simulation.memory.refused.sum(axis=0)


def scan_results(simulation: "Simulation") -> np.ndarray:
    """Return int64[len(ScanResult)]: what khugepaged's scans came to."""
    return simulation.khugepaged.results.copy()


def full_scans(simulation: "Simulation") -> int:
    """Rounds of khugepaged through all processes."""
    return simulation.khugepaged.full_scans


def pages_collapsed(simulation: "Simulation") -> int:
    """Huge pages that khugepaged has made."""
    return simulation.khugepaged.pages_collapsed


def dropped(simulation: "Simulation") -> int:
    """Accesses that were not made, because their process had been killed."""
    return int(simulation.memory.info[st.Info.DROPPED])


# --- tasks, processes and nodes -------------------------------------------------------


def clock(simulation: "Simulation", task: Task) -> int:
    """Return a task's simulated time, ns."""
    return int(simulation.memory.task[task.id, st.Task.CLOCK])


def times(simulation: "Simulation", process: Process) -> np.ndarray:
    """Return int64[len(Cause)] ns: where the time of a process's tasks went."""
    ids = [task.id for task in simulation.tasks if task.process is process]
    return simulation.spent[ids].sum(axis=0)


def rss(simulation: "Simulation", process: Process) -> int:
    """Return the pages that a process maps."""
    return int(simulation.memory.mm[process.id, st.Mm.RSS])


def swapents(simulation: "Simulation", process: Process) -> int:
    """Return the pages of a process behind slots and entries."""
    return int(simulation.memory.mm[process.id, st.Mm.SWAPENTS])


def huge_pages(simulation: "Simulation", process: Process) -> int:
    """Return the 4 KiB pages of a process that PMD entries map."""
    return int(simulation.memory.mm[process.id, st.Mm.HUGE])


def pages_by_node(simulation: "Simulation", process: Process) -> np.ndarray:
    """Return int64[nodes]: the pages that a process maps, by the node that they are on.

    As ``N0=.. N1=..`` of /proc/PID/numa_maps, without zero pages; the sum is ``rss``.
    It looks at every entry of the process's page tables.
    """
    counts = np.zeros(simulation.machine.nodes, np.int64)
    for vma in process.vmas:
        for first, pages in pieces(vma.start, vma.end):
            at = first + process.delta
            count_resident(simulation.memory, at, pages, counts)
    return counts


def snapshot(
    simulation: "Simulation", process: Process
) -> tuple[np.ndarray, np.ndarray]:
    """Return (node, kind), int8[blocks], of the 2 MiB blocks of a process's VMAs.

    In address order, without the blocks between VMAs; see ``engine/state/snapshot.py``.
    """
    return take(simulation.memory, process)


def free(simulation: "Simulation", node: int) -> int:
    """Return the free frames of a node."""
    return int(simulation.memory.node[node, st.Node.FREE])


def whole_blocks(simulation: "Simulation", node: int) -> int:
    """Return the blocks of 2 MiB of a node that are wholly free."""
    return int(simulation.memory.node[node, st.Node.WHOLE])


def traffic(simulation: "Simulation") -> np.ndarray:
    """Return int64[nodes, nodes]: bytes that accesses moved so far.

    Rows are nodes of CPUs, columns those of memory.
    """
    return simulation.prices.bytes.copy()


# --- slots and entries ----------------------------------------------------------------


def _ids(simulation: "Simulation", kind: Kind, column: st.Ids) -> int:
    return int(simulation.memory.info[ids_of(kind) + column])


def slots_in_use(simulation: "Simulation") -> int:
    """Swap slots in use."""
    return _ids(simulation, Kind.SWAP, st.Ids.IN_USE)


def slots_peak(simulation: "Simulation") -> int:
    """Most swap slots that were in use at a time."""
    return _ids(simulation, Kind.SWAP, st.Ids.PEAK)


def entries_in_use(simulation: "Simulation") -> int:
    """Migration-cache entries in use."""
    return _ids(simulation, Kind.MIGCACHE, st.Ids.IN_USE)


def entries_peak(simulation: "Simulation") -> int:
    """Most migration-cache entries that were in use at a time."""
    return _ids(simulation, Kind.MIGCACHE, st.Ids.PEAK)


# --- the row of /summary --------------------------------------------------------------


def summary(simulation: "Simulation") -> dict[str, Any]:
    """Return the variables that /summary has for every scenario."""
    totals = counters(simulation).sum(axis=0)
    refused = refusals(simulation)
    tails = [st.Shard.TAIL_LOCAL, st.Shard.TAIL_ALL]
    tail = simulation.memory.shard[:, tails].sum(axis=0)
    touched = totals[[Vm.ACCESSES_LOCAL, Vm.ACCESSES_REMOTE]]
    took = max((clock(simulation, task) for task in simulation.tasks), default=0)
    return {
        "accesses": int(touched.sum()),
        "pages_marked": int(totals[Vm.LAZY_PAGES_MARKED]),
        "pages_migrated": int(totals[Vm.PGMIGRATE_SUCCESS]),
        "pages_moved": int(totals[Vm.PAGES_MOVED]),
        "pages_paid": int(totals[Vm.PAGES_PAID]),
        "pages_unpaid": int(totals[Vm.PAGES_MOVED] - totals[Vm.PAGES_PAID]),
        "pages_moved_back": int(totals[Vm.PAGES_MOVED_BACK]),
        "converged_ns": simulation.locality.converged_ns(),
        "pages_refused": int(refused.sum()),
        "pages_refused_by": refused,
        "swap_slots_peak": slots_peak(simulation),
        "migcache_entries_peak": entries_peak(simulation),
        "faults": int(totals[Vm.PGFAULT]),
        "oom_kills": simulation.oom_kills,
        "local_fraction": _share(touched[0], touched.sum()),
        "local_fraction_end": _share(tail[0], tail[1]),
        # A job that was killed did not end: it has no time.
        "run_time_ns": float("nan") if simulation.oom_kills else took,
        "balancing_unscanned": _unscanned(simulation),
        **_job_times(simulation, took),
        **_cpu_times(simulation, took),
        "thp_splits": int(totals[Vm.THP_SPLIT_PAGE]),
        "thp_collapses": pages_collapsed(simulation),
        **_huge_shares(simulation),
    }


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _unscanned(simulation: "Simulation") -> int:
    """Return 1 if NUMA balancing was on, and marked no page; otherwise 0."""
    on = simulation.settings.balancing.mode != "off"
    return int(on and not total(simulation, "numa_pte_updates"))


def _job_times(simulation: "Simulation", took: int) -> dict[str, int]:
    """Return where ``took``, the time of the job, went: a mean over all tasks, ns.

    A task is idle if it waits for others, has not begun, or has ended.  The causes and
    the idle time sum up to ``took``.  What one task spends and no other does is
    ``alone``; ``tlb_flush_ns`` is the most that calls of one task spent in flushes.
    """
    spent, flushes = simulation.spent, simulation.flushes
    tasks = max(1, len(spent))
    mean = [int(time) // tasks for time in spent.sum(axis=0)]
    most = np.sort(spent, axis=0)[-2:] if len(spent) > 1 else np.zeros((2, len(Cause)))
    alone = most[1] - most[0]
    cause = int(alone.argmax())
    return {
        **{cause_time(one): mean[one] for one in Cause},
        "time_idle_ns": max(0, took - sum(mean)),
        "alone_ns": int(alone[cause]),
        "alone_cause": cause,
        "tlb_flushes": int(flushes[:, 0].sum()),
        "tlb_flush_ns": int(flushes[:, 1].max(initial=0)),
    }


def _cpu_times(simulation: "Simulation", took: int) -> dict[str, int]:
    """Return where the time of all tasks went, as time(1) has it, added up, ns.

    Who sleeps for a lock, or for a page from disk, is idle; who spins is not.
    """
    by_cause = simulation.spent.sum(axis=0)
    user = int(by_cause[list(_USER)].sum())
    asleep = int(by_cause[list(_ASLEEP)].sum())
    spent = int(by_cause.sum())
    return {
        "user_time_ns": user,
        "system_time_ns": spent - user - asleep + simulation.daemon_time_ns,
        "daemon_time_ns": simulation.daemon_time_ns,
        "idle_time_ns": max(0, took * len(simulation.tasks) - spent) + asleep,
        "lock_wait_ns": int(by_cause[list(_LOCK_WAITS)].sum()),
    }


def lock_waits(simulation: "Simulation") -> dict[str, int]:
    """Return what tasks have waited for each lock, added up, ns, by its name."""
    waited = simulation.locks.stats[:, LockStat.WAIT]
    return {row.name: int(ns) for row, ns in zip(ROWS, waited, strict=True)}


def _huge_shares(simulation: "Simulation") -> dict[str, float]:
    """Return what part of the mapped pages is huge, and what part of that local."""
    mapped = huge = local = 0
    for process in simulation.processes:
        if process.alive:
            mapped += rss(simulation, process)
            by_node = huge_by_node(simulation.memory, process)
            cpus = {task.cpu for task in simulation.tasks if task.process is process}
            homes = {int(simulation.machine.cpu_node[cpu]) for cpu in cpus}
            huge += int(by_node.sum())
            local += int(by_node[list(homes)].sum())
    return {
        "thp_share": huge * HPAGE_PMD_NR / mapped if mapped else 0.0,
        "huge_local_share": local / huge if huge else 0.0,
    }


# --- what observers are told ----------------------------------------------------------


class Epochs:
    """How far the observer of a simulation has been told: epochs and snapshots.

    next_ns, ended_ns  when the next epoch ends, when the last one did
    counters, scanned  totals at the last one's end: events; what khugepaged did
    bytes              totals at the last one's end, from each node to each node
    looks              entries of page tables that epochs have looked at
    by_process         {process: its accesses and times at the last one's end}
    snapshots          how many of the settings' snapshot times are over
    """

    def __init__(self, nodes: int, epoch_ns: int) -> None:
        self.next_ns, self.ended_ns = epoch_ns, 0
        self.counters = np.zeros((nodes, len(Vm)), np.int64)
        self.scanned = np.zeros(len(ScanResult) + 2, np.int64)
        self.bytes = np.zeros((nodes, nodes), np.int64)
        self.looks = 0
        self.by_process: dict[int, np.ndarray] = {}
        self.snapshots = 0


def tell_what_is_due(simulation: "Simulation") -> None:
    """Give the observer what is due: snapshots, an epoch."""
    epochs, now, settings = simulation.epochs, simulation.now, simulation.settings
    past = bisect_right(settings.snapshots_ns, now)
    if past > epochs.snapshots:
        epochs.snapshots = past
        for process in simulation.processes:
            if process.alive:
                blocks = snapshot(simulation, process)
                simulation.observer.snapshot(now, process.id, *blocks)
    if now >= epochs.next_ns:
        # Nobody waits for locks here: results would depend on how long epochs are.
        _end_epoch(simulation)
        epochs.next_ns = (now // settings.epoch_ns + 1) * settings.epoch_ns


def flush_epoch(simulation: "Simulation") -> None:
    """Give the observer what was counted since the last epoch."""
    simulation.locks.settle(simulation)
    _end_epoch(simulation)


def _end_epoch(simulation: "Simulation") -> None:
    fold_counters(simulation)
    epochs, totals = simulation.epochs, simulation.totals.copy()
    rows = [_process_row(simulation, one) for one in simulation.processes if one.alive]
    use = _node_use(simulation)
    epochs.ended_ns = max(epochs.ended_ns, simulation.now)
    rounds = [full_scans(simulation), pages_collapsed(simulation)]
    scanned = np.append(scan_results(simulation), rounds)
    simulation.observer.epoch(
        epochs.ended_ns, totals - epochs.counters, rows, scanned - epochs.scanned, use
    )
    epochs.counters, epochs.scanned = totals, scanned


def _node_use(simulation: "Simulation") -> NodeUse:
    """Return what nodes hold now, and their traffic since the last epoch."""
    epochs, prices, machine = simulation.epochs, simulation.prices, simulation.machine
    moved = prices.bytes - epochs.bytes
    epochs.bytes = prices.bytes.copy()
    length = max(epochs.ended_ns, simulation.now) - epochs.ended_ns
    into, links = prices.shares(moved, length)
    free = simulation.memory.node[:, st.Node.FREE].copy()
    return NodeUse(free, machine.pages - free, into, moved, links)


def _pages_if_cheap(simulation: "Simulation", process: Process) -> np.ndarray | None:
    """Return ``pages_by_node``, or None if epochs have looked at too much already.

    The limit hangs on accesses and not on time, so that equal runs give equal files.
    """
    if not simulation.observer.keeps:
        return None
    epochs, huge = simulation.epochs, huge_pages(simulation, process)
    looks = rss(simulation, process) - huge + huge // HPAGE_PMD_NR
    served = int(
        counters(simulation)[:, Vm.ACCESSES_LOCAL : Vm.ACCESSES_REMOTE + 1].sum()
    )
    if epochs.looks + looks > LOOKS_FREE + LOOKS_PER_ACCESS * served:
        return None
    epochs.looks += looks
    return pages_by_node(simulation, process)


def _process_row(simulation: "Simulation", process: Process) -> dict[str, Any]:
    told = simulation.epochs.by_process
    ids = [one.id for one in simulation.tasks if one.process is process]
    waits = simulation.locks.waited
    waited = waits[[number for number in ids if number < len(waits)]].sum(axis=0)
    totals = np.concatenate(
        [simulation.touched[process.id], times(simulation, process), waited]
    )
    delta = totals - told.get(process.id, 0)
    told[process.id] = totals
    modes = {vma.policy.mode.name.lower() for vma in process.vmas}
    return {
        "process": process.id,
        "name": process.name,
        "policy": modes.pop() if len(modes) == 1 else "mixed",
        "rss_pages": rss(simulation, process),
        "swap_pages": swapents(simulation, process),
        "pages": _pages_if_cheap(simulation, process),
        "accesses_local": int(delta[0]),
        "accesses_remote": int(delta[1]),
        "time_ns": delta[2 : 2 + len(Cause)],
        "lock_wait_ns": delta[2 + len(Cause) :],
    }


def record(simulation: "Simulation", records: str, row: Mapping[str, Any]) -> None:
    """Give the observer a row of the study's own records of that name."""
    simulation.observer.record(simulation.now, records, row)
