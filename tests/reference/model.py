"""The whole reference: its state, and the rules of all files put together.

``docs/model/`` has a page for each group of these files.
"""

from lazynuma.engine.machines.zones import watermarks
from lazynuma.engine.settings.costs import Costs
from lazynuma.engine.settings.settings import Settings
from lazynuma.engine.state.allocate import managed_pages, node_shift, usable_pages
from lazynuma.kernels.counters import Refusal, Vm

from .allotment import Allotments
from .balancing import Balancing
from .balancing_groups import Groups
from .balancing_hint_fault import BalancingHintFaults
from .balancing_migrate import TaskMigration
from .balancing_placement import TaskPlacement
from .balancing_scan import Scans
from .balancing_tiering import Tiering
from .calls_bulk import BulkCalls
from .calls_mapping import MappingCalls
from .calls_placement import PlacementCalls
from .calls_processes import ProcessCalls
from .calls_unmap import UnmapCalls
from .check import Checks
from .compaction import Compaction
from .content import Content
from .costs import Charges
from .demotion import Demotion
from .fault import Faults
from .fault_huge import HugeFaults
from .folio import Folios
from .frames import Frames
from .lazy import Lazy
from .lazy_hint_fault import LazyHintFaults
from .locks import LockWaits
from .lru_gen import LruGen
from .migrate import Migration
from .moves import Moves
from .oom import OutOfMemory
from .placement import Placement
from .placement_huge import HugePlacement
from .playback import Playback
from .quantum import Quanta
from .reclaim import Reclaim
from .results import Results
from .rmap import Rmap
from .samples import Samples
from .sched import Scheduler
from .shmem import SharedMappings
from .thp_khugepaged import Khugepaged
from .tlb import Tlbs
from .words import Ids, Node


class Reference(
    Frames,
    Rmap,
    Folios,
    Content,
    Allotments,
    Placement,
    HugePlacement,
    Compaction,
    Migration,
    Moves,
    Faults,
    HugeFaults,
    SharedMappings,
    Lazy,
    LazyHintFaults,
    Reclaim,
    LruGen,
    Demotion,
    OutOfMemory,
    Charges,
    Tlbs,
    Quanta,
    Playback,
    ProcessCalls,
    MappingCalls,
    UnmapCalls,
    PlacementCalls,
    BulkCalls,
    Khugepaged,
    Results,
    Checks,
    Balancing,
    BalancingHintFaults,
    Tiering,
    Groups,
    TaskPlacement,
    TaskMigration,
    Scans,
    LockWaits,
    Scheduler,
    Samples,
):
    """The slow model; its operations are those of ``lazynuma.engine.Simulation``."""

    def __init__(self, machine, settings=None, costs=None, seed=1):
        self.machine, self.seed = machine, seed
        self.cpu_node = machine.cpu_node.tolist()
        self.settings, self.costs = settings or Settings(), costs or Costs()
        pages = managed_pages(machine)
        self.shift = node_shift(pages)
        usable = usable_pages(machine, self.settings)
        marks = watermarks(usable)
        self.nodes = []
        for n, span in enumerate(usable):
            low = [int(mark) for mark in marks[n, :3]]
            online = machine.memory[n] > 0
            node = Node(n << self.shift, span, *low, free=span, online=online)
            self.nodes.append(node)
        self.count = len(self.nodes)
        accumulated = self.settings.accumulated_node_load
        self.zonelist = machine.zonelist(accumulated).tolist()
        self.blocks, self.frames = {}, {}
        self.slots = Ids(self.settings.swap_bytes // 4096)
        self.entries = Ids(sum(pages))
        self.processes, self.tasks, self.clocks = [], [], []
        self.tables, self._rss, self._swapents = {}, {}, {}
        self.links, self.dirty_vmas = 0, []
        self.pmds, self.folios, self.tlbs, self.pgd_nid = {}, {}, {}, {}
        self.huge_zero_page, self.used_whole, self.wanted = False, {}, {}
        self.start_content()
        self.start_khugepaged()
        self.start_shmem()
        self.vm = [[0] * len(Vm) for _ in range(self.count)]
        self.refused = [0] * len(Refusal)
        self.spent = {}
        self.now = self.runs = self.oom_kills = self.next_vpn = 0
        self.holes = []
        self.use = [[0] * self.count for _ in range(self.count)]
        self.factor = [[1000] * self.count for _ in range(self.count)]
        self.copy_queue = [[0] * self.count for _ in range(self.count)]
        self.traffic = [[0] * self.count for _ in range(self.count)]
        self.bytes = [[0] * self.count for _ in range(self.count)]
        self.shard = None
        self.slots_at_start = self.played = self.dropped = 0
        self.on_cpu, self.stands_for, self.begun = {}, {}, 0
        self.start_balancing()
        self.start_locks()
        self.start_scheduler()
        self.start_samples()
        self.quanta, self.writers = 0, {}
