"""The engine: processes on a machine, their operations, and time in quanta.

Find a call by reading: each is a function in ``engine/calls``, ``engine/quantum``,
``engine/results.py`` or ``engine/state``, with the simulation as its first argument.
"""

from collections.abc import Callable

from ..kernels.balancing.end_quantum import init_numa_balancing
from ..kernels.reclaim.lru_gen import lru_gen_change_state
from ..kernels.words import NONE
from . import results
from .calls import (
    advice,
    bulk,
    bulk_entries,
    bulk_pages,
    bulk_written,
    mapping,
    marking,
    placement,
    populating,
    processes,
    swapoff,
    unmap,
)
from .daemons import Daemon, rebalance
from .daemons.khugepaged_do_scan import Khugepaged
from .daemons.task_tick_numa import TaskTicks
from .daemons.user_daemon import UserDaemon, start_daemon
from .doors.lazy_design import LazyDesign
from .doors.placement_policy import PlacementPolicy
from .errors import BadInput
from .machines.machine import Machine
from .observer import Observer, Silent
from .quantum import loop, sample_rings
from .quantum.convergence import Locality
from .quantum.lock_windows import LockWindows
from .quantum.prices import Prices
from .quantum.workers import Team
from .settings.costs import Costs
from .settings.knob_columns import set_knobs
from .settings.settings import Settings
from .state import check as invariants
from .state import numa_tasks, observation, own_arrays, world
from .state import page as pages
from .state.allocate import set_watermarks
from .state.first_sample import change_period
from .state.world import MS, World


class Simulation(World):
    """A machine, its processes and their simulated time.

    ``threads`` and ``batch`` (accesses a kernel call) change speed, never results.
    Sizes are bytes, offsets within regions are 4 KiB pages, times are ns.

    policy  functions of one's own that decide where pages go
    """

    def __init__(
        self,
        machine: Machine,
        settings: Settings = Settings(),
        costs: Costs = Costs(),
        seed: int = 1,
        threads: int = 1,
        batch: int = 1 << 20,
        observer: Observer | None = None,
        policy: PlacementPolicy | None = None,
        lazy: LazyDesign | None = None,
    ) -> None:
        if threads < 1 or batch < 1:
            raise BadInput(
                f"threads and batch must be at least 1, got {threads}, {batch}"
            )
        if not 0 <= seed < 1 << 62:
            raise BadInput(f"seed must be from 0 to 2^62 - 1, got {seed}")
        seen = observer or Silent()
        super().__init__(machine, settings, costs, seed, seen, policy, lazy)
        nodes = len(machine.memory)
        self.batch, self.threads = batch, threads
        #: Called when a quantum is over, with numbers that say where its call is.
        self.pause: Callable[[list[int]], None] | None = None
        self.inodes = mapping.Inodes()
        self.oom_kills = 0
        self.runs = self.played = 0
        self.team = Team(threads, nodes, settings.shards)
        self.prices = Prices(machine)
        self.locality = Locality()
        self.locks = LockWindows(settings)
        self.samples = sample_rings.SampleRings()
        self.epochs = results.Epochs(nodes, settings.epoch_ns)
        self.task_ticks, self.khugepaged = TaskTicks(), Khugepaged(self)
        self.load_ticks = rebalance.LoadTicks()
        self.daemons: list[Daemon] = [
            self.task_ticks,
            self.load_ticks,
            self.khugepaged,
        ]
        self.user_daemons: list[UserDaemon] = []
        #: The user's daemon that works now, "" for none.
        self.waking = ""
        #: Whether a daemon has ended the present run.
        self.stopped = False
        #: When the present run began, ns.
        self.run_began = 0

    def close(self) -> None:
        """Give the host its memory back; the simulation is over."""
        self.team.close()
        self.forget()

    def configure(self, settings: Settings) -> None:
        """Change knobs of huge pages, khugepaged, balancing, lru_gen, samples.

        They hold from now on; all other settings must be unchanged.
        """
        if settings.lru_gen.enabled != self.settings.lru_gen.enabled:
            self._change_lru_gen(settings)
        before, self.settings = self.settings.sampling.period, settings
        set_knobs(self.memory.info, settings)
        change_period(self, before)
        set_watermarks(self.memory.node, self.machine, settings)
        self.khugepaged.configure(settings)
        if settings.balancing.mode != "off" and not self.balances:
            self.start_balancing()
            for task in self.tasks:
                if task.process.alive:
                    init_numa_balancing(self.memory, task.id, NONE, self.now // MS)

    def _change_lru_gen(self, settings: Settings) -> None:
        """Turn lists into generations, whose words the new settings define, or back."""
        on = settings.lru_gen.enabled
        if on:
            set_knobs(self.memory.info, settings)
        lru_gen_change_state(self.memory, on)

    # Processes and tasks
    spawn, fork, exit = processes.spawn, processes.fork, processes.exit
    start_task, move_task = processes.start_task, processes.move_task
    synchronize = processes.synchronize

    # Memory
    mmap, mprotect, munmap = mapping.mmap, mapping.mprotect, unmap.munmap
    populate = populating.populate
    advise, madvise, collapse = advice.advise, advice.madvise, advice.collapse
    has_advice = advice.has_advice
    swapon, swapoff = swapoff.swapon, swapoff.swapoff
    drop_caches = advice.drop_caches

    # Where pages are to be
    set_mempolicy, mbind = placement.set_mempolicy, placement.mbind
    set_mempolicy_home_node = placement.set_mempolicy_home_node
    set_node_weight, has_policy = placement.set_node_weight, placement.has_policy
    move_pages, migrate_pages = placement.move_pages, placement.migrate_pages
    hot_remove = placement.hot_remove
    mark = marking.mark

    # What daemons do, in bulk
    start_daemon = start_daemon
    where, take_accessed = bulk.where, bulk.take_accessed
    huge, take_written = bulk_written.huge, bulk_written.take_written
    promote, demote, move = bulk.promote, bulk.demote, bulk.move
    node_free, node_size = bulk.node_free, bulk.node_size
    run_kswapd = bulk.run_kswapd
    loaded_latency, bandwidth_used = bulk.loaded_latency, bulk.bandwidth_used
    mark_pages, split_blocks = bulk_entries.mark_pages, bulk_entries.split_blocks
    collapse_blocks = bulk_entries.collapse_blocks
    advise_pages = bulk_entries.advise_pages
    charge, regions = bulk_pages.charge, bulk.regions

    # Time
    run, play, idle, stop = loop.run, loop.play, loop.idle, loop.stop

    # What the kernel does without being asked
    lru_add_drain, flush_tlbs = world.lru_add_drain, world.flush_tlbs
    flush_ns = world.flush_ns

    # What came out: events
    counters, total, refusals = results.counters, results.total, results.refusals
    fold_counters = results.fold_counters
    summary, record = results.summary, results.record
    lock_waits = results.lock_waits
    load_balances, run_delays = rebalance.load_balances, rebalance.run_delays
    flush_epoch = results.flush_epoch
    scan_results = results.scan_results
    full_scans = property(results.full_scans)
    pages_collapsed = property(results.pages_collapsed)
    dropped = property(results.dropped)
    take_samples = sample_rings.take_samples
    samples_lost = property(sample_rings.samples_lost)

    # What came out: tasks, processes, nodes
    clock, times = results.clock, results.times
    rss, swapents = results.rss, results.swapents
    huge_pages, snapshot = results.huge_pages, results.snapshot
    pages_by_node = results.pages_by_node
    free, whole_blocks = results.free, results.whole_blocks
    traffic = results.traffic
    slots_in_use = property(results.slots_in_use)
    slots_peak = property(results.slots_peak)
    entries_in_use = property(results.entries_in_use)
    entries_peak = property(results.entries_peak)

    # A look inside
    page = pages.page
    own, set_own = own_arrays.own, own_arrays.set_own
    observe, nodes_of = observation.look, observation.nodes_of
    numa, numa_group = numa_tasks.numa, numa_tasks.numa_group
    scan_state, scan_skips = numa_tasks.scan_state, numa_tasks.scan_skips
    numa_scans = numa_tasks.numa_scans
    cpupid, tier_state = numa_tasks.cpupid, numa_tasks.tier_state
    check = invariants.check
