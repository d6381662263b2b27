"""What NUMA balancing knows of a task, a group, a VMA, a node, and a quantum.

``docs/model/balancing.md`` states the rules.
"""

from dataclasses import dataclass, field

MS = 10**6
MEM, CPU, MEMBUF, CPUBUF = range(4)
TIME_MASK = (1 << 30) - 1
TOPOLOGIES = DIRECT, MESH, BACKPLANE = "direct", "mesh", "backplane"


def c_div(a, b):
    """Divide as C does: towards zero."""
    return a // b if a >= 0 else -(-a // b)


@dataclass
class Numa:
    """What balancing knows of a task."""

    faults: list
    period: int
    seq: int
    period_max: int = 0
    stamp: int = 0
    preferred: int = -1
    retry: int = 0
    group: object = None
    total: int = 0
    remote: int = 0
    local: int = 0
    failed: int = 0
    has_statistics: bool = False
    last_runtime: int = 0
    last_placement: int = 0


@dataclass(eq=False)
class Group:
    """A group of tasks."""

    number: int
    faults: list
    total: int
    tasks: int = 1
    max_cpu: int = 0
    active: int = 1
    #: Active nodes, with the filter active_nodes.
    nodes: set = field(default_factory=set)

    def of_node(self, kind, n):
        """Return a node's statistics, both kinds."""
        return sum(self.faults[kind][n])

    def by_kind(self, priv):
        """Return the MEM statistics of a kind, of all nodes."""
        return sum(row[priv] for row in self.faults[MEM])


@dataclass
class Scan:
    """How far the scanner of an address space is."""

    seq: int = 0
    offset: int = 0
    next_scan: int = 0
    next_reset: int = 0
    #: Node where it first asked for a scan, None: never; "active": it is scanned.
    first_nid: object = 0


@dataclass(eq=False)
class VmaState:
    """What the scanner knows of a VMA (vma_numab_state)."""

    start_seq: int
    next_scan: int
    reset: int
    prev_seq: int
    pids: list = field(default_factory=lambda: [0, 0])


@dataclass
class Tier:
    """What a node knows of promotions and migrations to it."""

    threshold: int = 0
    th_start: int = 0
    th_candidates: int = 0
    window: int = 0
    base: int = 0
    candidates: int = 0
    migrate_start: int = 0
    migrated: int = 0
    limited_until: int = 0


@dataclass
class Noted:
    """Pages that a shard, or serial work, noted of each node in a quantum."""

    candidates: dict = field(default_factory=dict)
    migrated: dict = field(default_factory=dict)
