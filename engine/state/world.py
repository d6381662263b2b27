"""The world of a simulation: its objects, and the state that is kept in step with them.

Functions of calls, daemons and quanta work on it; it knows none of them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...kernels import state as st
from ...kernels.calls.charge import charge_call
from ...kernels.counters import (
    MM_WORKERS,
    NODE_WORKERS,
    Cause,
    Event,
    Op,
    Vm,
    Worker,
)
from ...kernels.quantum import fold
from ..doors.lazy_design import LazyDesign, UserDesign
from ..errors import BadInput
from ..machines.machine import Machine
from ..observer import Observer
from ..settings.costs import Costs
from ..settings.settings import Settings
from .allocate import allocate
from .host_memory import give_back_free, returned_blocks
from .policies import policy_of
from .process import Process, Shmem, TableState, Task
from .tables import Tables
from .user_policy import UserPolicy

if TYPE_CHECKING:
    from ..doors.placement_policy import PlacementPolicy

#: ns in a millisecond.
MS = 1_000_000
#: Wholly free blocks that are collected before the host gets memory back: 2 MiB of it.
GIVE_BACK_BLOCKS = 512


class World:
    """A machine, its processes and tasks, and the state that kernels work on.

    objects, caches  those of shared mappings; where each family's page cache begins,
                     for families that have one, less where the family's pages begin
    holes    (first, span) of the page-table indices that processes have left
    spent    int64[tasks, len(Cause)] ns, by cause
    flushes  int64[tasks, 2]: TLB flushes of its system calls, and what they cost, ns
    touched  int64[processes, 2]: accesses served by local and by remote memory
    totals   int64[nodes, len(Vm)]: the events that ``fold_counters`` has taken over
    links    anon_vmas made, and VMAs put into their trees, so far (anon_vma.py)
    placement  the functions of a user's file that decide where pages go, or None
    lazy     the design of lazy migration that was given from outside, if any
    places   rows of the tasks' table for what recorded tasks do on other CPUs
    """

    def __init__(
        self,
        machine: Machine,
        settings: Settings,
        costs: Costs,
        seed: int,
        observer: Observer,
        placement: "PlacementPolicy | None" = None,
        lazy: LazyDesign | None = None,
    ) -> None:
        nodes = len(machine.memory)
        self.machine, self.settings, self.costs = machine, settings, costs
        self.seed, self.observer = seed, observer
        #: The policy that tasks begin with.
        self.policy = policy_of(settings.policy, machine)
        self.now = 0
        #: What daemons have worked so far, ns.
        self.daemon_time_ns = 0
        self.processes: list[Process] = []
        self.tasks: list[Task] = []
        self.objects: list[Shmem] = []
        self.caches: dict[int, int] = {}
        self.holes: list[tuple[int, int]] = []
        self.spent = np.zeros((0, len(Cause)), np.int64)
        self.flushes = np.zeros((0, 2), np.int64)
        self.touched = np.zeros((0, 2), np.int64)
        self.totals = np.zeros((nodes, len(Vm)), np.int64)
        #: Whether tasks have the tables of NUMA balancing.
        self.balances = settings.balancing.mode != "off"
        self.places = 0
        self.tables = TableState()
        self._rows = Tables(nodes, self.balances)
        self._memory = allocate(machine, settings, costs, seed)
        self.placement: UserPolicy | None = None
        if placement is not None:
            self.placement = UserPolicy(placement, self._memory)
        self.lazy = None if lazy is None else UserDesign(lazy, self._memory)
        self.links = 0
        self._next_vpn = 0
        self._given_back = 0

    @property
    def memory(self) -> st.Memory:
        """The state; its tables show all changes of processes, VMAs and tasks."""
        if self.tables.stale:
            self._update()
        return self._memory

    def _update(self) -> None:
        self._rows.balancing = self.balances
        self._memory = self._rows.update(
            self._memory,
            self.processes,
            self.tasks,
            self.objects,
            self.caches,
            self.places,
        )
        if self.placement is not None:
            self._memory = self.placement.update(self._memory)
        self.spent = _longer(self.spent, len(self.tasks))
        self.flushes = _longer(self.flushes, len(self.tasks))
        self.touched = _longer(self.touched, len(self.processes))
        self.tables.stale = False

    def forget(self) -> None:
        """Let go of the state, which is most of what a simulation takes of the host."""
        self.tables.stale = False
        self._memory = None  # type: ignore[assignment]

    def start_balancing(self) -> None:
        """Give tasks the tables of NUMA balancing."""
        self.balances = self.tables.stale = True

    def start_places(self, places: int) -> None:
        """Give recorded tasks rows for other CPUs, if they have none."""
        if not self.places:
            self.places, self.tables.stale = places, True

    def fold(self) -> None:
        """Add what kernels charged and changed to clocks and processes.

        Raises SimulationError if a function from outside has failed meanwhile.
        """
        memory = self.memory
        fold.fold_clocks(memory, self.spent)
        fold.fold_processes(memory, self.touched)
        fold.fold_lists(memory)
        memory.info[st.Info.SPLITS] = 0
        if self.placement is not None:
            self.placement.fold()
        if self.lazy is not None:
            self.lazy.check()

    def reserve(self, span: int) -> int:
        """Return the first of ``span`` page-table indices that nobody owns."""
        for i, (first, free) in enumerate(self.holes):
            if free >= span:
                self.holes[i] = (first + span, free - span)
                return first
        first = self._next_vpn
        if first + span > self._memory.pte.size:
            raise BadInput(
                f"address spaces must fit in {self._memory.pte.size} pages together,"
                f" got {first + span}"
            )
        self._next_vpn += span
        return first

    def set_family(self, first: int, end: int, family: int) -> None:
        """Note that 2 MiB blocks [first, end) of virtual space belong to a family."""
        self._memory.vpn_family[first:end] = family + 1

    def give_back_memory(self) -> None:
        """Return memory to the host, if 1 GiB more is free than the last time."""
        returned = returned_blocks(self.memory)
        if returned - self._given_back >= GIVE_BACK_BLOCKS:
            give_back_free(self.memory)
            self._given_back = returned
        self._given_back = min(self._given_back, returned)

    def event(
        self, kind: Event, node: int, process: Process | None, value: int
    ) -> None:
        """Tell the observer of a rare event; node -1: of no node."""
        number = process.id if process else -1
        self.observer.event(self.now, kind.name.lower(), node, number, int(value))


def charge(
    world: World,
    task: Task,
    syscall_ns: int = 0,
    migration_ns: int = 0,
    alone: bool = False,
) -> None:
    """Charge a task for a system call: what it did, with its splits, and the entry.

    alone  whether the call changes the map of its process: mmap_write_lock
    """
    memory = world.memory
    split = int(memory.info[st.Info.SPLITS])
    memory.ops[memory.info[st.Info.SHARDS], task.id, Op.SPLIT] += split
    splits = split * world.costs.split_pmd_ns
    charge_call(
        memory,
        task.id,
        syscall_ns + splits + world.costs.syscall_ns,
        migration_ns,
        alone,
    )
    world.fold()


def charge_drain(world: World, task: Task) -> None:
    """Charge a task for lru_add_drain_all, which a call does before it takes locks."""
    memory, ns = world.memory, world.costs.lru_drain_ns
    memory.cause[memory.info[st.Info.SHARDS], task.id, Cause.SYSCALL] += ns
    world.fold()


def receivers(world: World, process: Process) -> int:
    """Return how many CPUs a TLB flush of a process interrupts."""
    task = world.memory.task
    alive, owner = task[:, st.Task.ALIVE], task[:, st.Task.MM]
    return max(0, int(np.count_nonzero((owner == process.id) & (alive == 1))) - 1)


def flush_ns(world: World, process: Process) -> int:
    """Return what one TLB flush of a process costs, ns."""
    others = receivers(world, process)
    return world.costs.tlb_flush_ns + world.costs.tlb_flush_cpu_ns * others


def flushes_ns(
    world: World, task: Task, process: Process, flushes: int, walks: int = 0
) -> int:
    """Count flushes of a process's TLBs by a task; return what they cost it, ns.

    walks  how many of them rmap walks do
    """
    memory, cost = world.memory, flushes * flush_ns(world, process)
    s, node = memory.info[st.Info.SHARDS], world.machine.cpu_node[task.cpu]
    received = flushes * receivers(world, process)
    memory.vm[s, node, Vm.TLB_FLUSHES] += flushes
    memory.vm[s, node, Vm.NR_TLB_REMOTE_FLUSH_RECEIVED] += received
    memory.ops[s, task.id, Op.FLUSH] += flushes
    memory.ops[s, task.id, Op.WALK_FLUSH] += walks
    world.flushes[task.id] += (flushes, cost)
    return cost


def worked(world: World, who: Worker, of: int, ops: Mapping[Op, int]) -> None:
    """Count what somebody did who is no task, for a node or a process ``of``."""
    memory, row = world.memory, who * len(world.memory.node) + of
    if who >= NODE_WORKERS:
        row = NODE_WORKERS * len(memory.node) + MM_WORKERS * of + who - NODE_WORKERS
    for op, times in ops.items():
        memory.worker_ops[row, op] += times


def flush_tlbs(world: World, process: Process) -> None:
    """Empty the TLBs of a process's tasks."""
    if world.settings.tlb.enabled:
        ids = [task.id for task in world.tasks if task.process is process]
        world.memory.tlb[ids] = 0


def lru_add_drain(world: World, task: Task | None = None) -> None:
    """Put new pages on the LRU: those of a task's CPU, or of all CPUs."""
    rows = slice(None) if task is None else world.machine.cpu_node[task.cpu]
    world.memory.node[rows, st.Node.BATCHED] = 0


def _longer(table: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, table.shape[1]), np.int64)
    grown[: len(table)] = table
    return grown
