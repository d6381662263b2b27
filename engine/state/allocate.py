"""Allocation and checking of the state that ``kernels/state.py`` declares."""

import numpy as np

from ...kernels import state as st
from ...kernels.counters import NODE_WORKERS, Cause, Lb, Op, Refusal, ScanSkip, Vm
from ...kernels.doors import ASKED_WIDTH, Asked, Door
from ...kernels.frames.page_alloc import WORD_BITS
from ...kernels.knobs import Topology
from ...kernels.lazy.own import VERB_WORDS, Verb
from ...kernels.words import HPAGE_PMD_NR, HPAGE_PMD_ORDER, NONE, PAGE_SIZE, Kind
from ..errors import BadInput
from ..machines.machine import Machine
from ..machines.zones import watermarks
from ..settings.costs import Costs
from ..settings.knob_columns import cost_columns, set_knobs
from ..settings.settings import Settings
from .host_memory import sparse
from .parked_arrays import ids_of

#: Page-table space as a multiple of RAM: host address space, not host memory.
ARENA_FACTOR = 64
ARENA_PAGES_MIN = 1 << 20
ARENA_PAGES_MAX = 1 << 36


def managed_pages(machine: Machine) -> list[int]:
    """Return the frames of each node that processes may use, in whole 2 MiB blocks."""
    return [
        (memory - system) // (PAGE_SIZE * HPAGE_PMD_NR) * HPAGE_PMD_NR
        for memory, system in zip(machine.memory, machine.system, strict=True)
    ]


def node_shift(pages: list[int]) -> int:
    """Return log2 of the frame numbers that every node owns."""
    return max(HPAGE_PMD_ORDER, (max(pages) - 1).bit_length())


def ballast_pages(settings: Settings, pages: list[int]) -> list[int]:
    """Return the frames of each node that are out of use; BadInput if that is bad."""
    wanted = settings.ballast or (0,) * len(pages)
    if len(wanted) != len(pages):
        raise BadInput(
            f"ballast must give bytes for {len(pages)} nodes, got {len(wanted)}"
        )
    block = PAGE_SIZE * HPAGE_PMD_NR
    taken = [nbytes // block * HPAGE_PMD_NR for nbytes in wanted]
    for nid, (out, managed) in enumerate(zip(taken, pages, strict=True)):
        if not 0 <= out <= managed:
            raise BadInput(
                f"ballast of node {nid} must be from 0 to {managed * PAGE_SIZE}"
                f" bytes, got {wanted[nid]}"
            )
    return taken


def usable_pages(machine: Machine, settings: Settings) -> list[int]:
    """Return the frames of each node without its ballast."""
    pages = managed_pages(machine)
    taken = ballast_pages(settings, pages)
    return [managed - out for managed, out in zip(pages, taken, strict=True)]


def arena_pages(machine: Machine) -> int:
    """Return how many virtual pages all address spaces together may have."""
    wanted = ARENA_FACTOR * sum(managed_pages(machine))
    return min(max(wanted, ARENA_PAGES_MIN), ARENA_PAGES_MAX)


def _node_table(machine: Machine, settings: Settings, shift: int) -> np.ndarray:
    pages = usable_pages(machine, settings)
    table = np.zeros((len(pages), st.NODE_WIDTH), np.int64)
    for nid, usable in enumerate(pages):
        first = nid << (shift - HPAGE_PMD_ORDER)
        row = table[nid]
        row[st.Node.FREE] = row[st.Node.SPAN] = usable
        row[st.Node.VIRGIN] = first
        row[st.Node.GENS] = st.MIN_NR_GENS
        row[st.Node.END_BLOCK] = first + usable // HPAGE_PMD_NR
        row[st.Node.PARTIAL_HEAD] = row[st.Node.RETURNED_HEAD] = NONE
        # A node without memory takes part as one whose memory was removed.
        row[st.Node.ONLINE] = machine.memory[nid] > 0
        row[st.Node.WHOLE] = usable // HPAGE_PMD_NR
        row[st.Node.TIER], row[st.Node.CPUS] = machine.tier[nid], machine.cpus[nid]
        row[st.Node.SLOW] = machine.tier[nid] > machine.top_tier
    set_watermarks(table, machine, settings)
    return table


def set_watermarks(table: np.ndarray, machine: Machine, settings: Settings) -> None:
    """Set the watermarks of the nodes, which the knobs of huge pages may raise."""
    thp = settings.thp
    raised = thp.min_free and thp.enabled != "never"
    usable = usable_pages(machine, settings)
    marks = watermarks(
        usable, raised, settings.watermark_scale_factor, settings.min_free_kbytes
    )
    table[:, st.Node.MIN : st.Node.HIGH + 1] = marks[:, :3]
    # __setup_per_zone_wmarks (6.12): promo is one gap above high.
    table[:, st.Node.PROMO] = 2 * marks[:, 2] - marks[:, 1]


def _identities(settings: Settings, frames: int) -> dict[Kind, int]:
    """Return how many pages may be parked by each design at a time."""
    slots = settings.swap_bytes // PAGE_SIZE
    return {Kind.SWAP: slots, Kind.MIGCACHE: frames, Kind.OWN: frames}


def _info(settings: Settings, seed: int, shift: int, frames: int) -> np.ndarray:
    info = np.zeros(st.INFO_WIDTH, np.int64)
    info[st.Info.NODE_SHIFT] = shift
    info[st.Info.SEED] = seed
    for kind, count in _identities(settings, frames).items():
        info[ids_of(kind) + st.Ids.TOTAL] = count
        info[ids_of(kind) + st.Ids.STACK] = NONE
    set_knobs(info, settings)
    tlb = settings.tlb
    if tlb.enabled:
        entries = tlb.entries_4k, tlb.entries_2m
        sets = [max(1, count // st.WAYS // settings.shards) for count in entries]
        info[st.Info.TLB_SETS_4K], info[st.Info.TLB_SETS_2M] = sets
    return info


def topology_type(machine: Machine) -> tuple[Topology, int]:
    """Return the type of a machine and the greatest distance between its CPU nodes.

    init_numa_topology_type (kernel/sched/topology.c, 6.12).
    """
    nodes = [nid for nid in range(machine.nodes) if machine.cpus[nid]]
    distance = machine.distance[np.ix_(nodes, nodes)]
    furthest = int(distance.max())
    if len(np.unique(distance)) <= 2:
        return Topology.DIRECT, furthest
    a, b = np.argwhere(distance >= furthest)[0]
    near = (distance[a] < furthest) & (distance[b] < furthest)
    return Topology.GLUELESS_MESH if near.any() else Topology.BACKPLANE, furthest


def domain_reach(machine: Machine) -> np.ndarray:
    """Return int64[levels]: the distances to which scheduling domains reach.

    That of a node alone, then each that is between two nodes with CPUs
    (sched_init_numa, kernel/sched/topology.c).
    """
    nodes = [nid for nid in range(machine.nodes) if machine.cpus[nid]]
    distances = np.unique(machine.distance[np.ix_(nodes, nodes)])
    return distances.astype(np.int64)


def copy_costs(bandwidth: np.ndarray, costs: Costs) -> np.ndarray:
    """Return int64[nodes, nodes] ns: the copy of one page from node to node."""
    rate = np.minimum(costs.copy_bandwidth, bandwidth)
    return PAGE_SIZE * 1_000_000_000 // rate


def allocate(
    machine: Machine, settings: Settings, costs: Costs, seed: int
) -> st.Memory:
    """Return the state of a machine on which nothing has run yet."""
    nodes, shards = len(machine.memory), settings.shards
    pages = managed_pages(machine)
    info = _info(settings, seed, node_shift(pages), sum(pages))
    info[st.Info.LINES] = costs.line_transfer_permille > 0
    info[st.Info.TOPOLOGY], info[st.Info.MAX_DISTANCE] = topology_type(machine)
    sets = int(info[st.Info.TLB_SETS_4K] + info[st.Info.TLB_SETS_2M])
    return st.Memory(
        info=info,
        tlb=np.zeros((0, shards, sets * st.WAYS + 2), np.int64),
        **_sparse_arrays(machine, settings, pages),
        **_machine_tables(machine, settings, costs),
        **_empty_tables(nodes),
        **_shard_tables(nodes, shards, settings.quantum_accesses),
        **_balancing_tables(nodes, shards),
        **_door_tables(shards),
    )


def _sparse_arrays(machine: Machine, settings: Settings, pages: list[int]) -> dict:
    """Return the arrays with an item for each page, frame, block, slot or entry."""
    frames = len(pages) << node_shift(pages)
    blocks = frames >> HPAGE_PMD_ORDER
    ids = _identities(settings, frames)
    arena = arena_pages(machine)
    # Host huge pages pay if tables are dense: whole GiB mapped by small pages, and the
    # PMD entries of any machine that is not tiny.
    large = sum(pages) >= 1 << 18
    dense = large and settings.thp.enabled == "never"
    return dict(
        pte=sparse(arena, np.int64, dense),
        pmd=sparse(arena >> HPAGE_PMD_ORDER, np.int64, large),
        frame=sparse(frames, np.int64, dense),
        frame_entry=sparse(frames, np.int32, False),
        block_huge=sparse(blocks, np.int64, False),
        block_used=sparse(blocks, np.int16, False),
        block_mapped=sparse(blocks, np.int16, False),
        block_free=sparse(frames // WORD_BITS, np.int64, dense),
        block_list=sparse(blocks, np.int8, False),
        block_next=sparse(blocks, np.int32, False),
        block_prev=sparse(blocks, np.int32, False),
        block_owes=sparse(blocks, np.int32, False),
        frame_cpupid=sparse(frames, np.int32, False),
        frame_writers=sparse(frames, np.int64, False),
        frame_written=sparse(frames, np.int8, False),
        block_cpupid=sparse(blocks, np.int32, False),
        slot_count=sparse(ids[Kind.SWAP], np.int16, False),
        slot_frame=sparse(ids[Kind.SWAP], np.int64, False),
        slot_written=sparse(ids[Kind.SWAP], np.int8, False),
        entry_count=sparse(ids[Kind.MIGCACHE], np.int16, False),
        entry_frame=sparse(ids[Kind.MIGCACHE], np.int64, False),
        own_count=sparse(ids[Kind.OWN], np.int16, False),
        own_frame=sparse(ids[Kind.OWN], np.int64, False),
        vpn_family=sparse(arena >> HPAGE_PMD_ORDER, np.int32, False),
    )


def _machine_tables(machine: Machine, settings: Settings, costs: Costs) -> dict:
    """Return the tables of nodes, CPUs and costs."""
    levels = domain_reach(machine)
    cpus = machine.cpu_node.size
    return dict(
        cpu=np.zeros((cpus, len(st.Cpu)), np.int64),
        domain=np.zeros((cpus, len(levels), len(st.Domain)), np.int64),
        reach=levels,
        lb=np.zeros(len(Lb), np.int64),
        zonelist=np.ascontiguousarray(
            machine.zonelist(settings.accumulated_node_load), np.int64
        ),
        cpu_node=np.ascontiguousarray(machine.cpu_node, np.int64),
        distance=np.ascontiguousarray(machine.distance, np.int64),
        latency=np.ascontiguousarray(machine.latency_ns, np.int64),
        line_ns=machine.latency_ns * costs.line_transfer_permille // 1000,
        copy_ns=copy_costs(machine.bandwidth, costs),
        cost=cost_columns(costs),
        node=_node_table(machine, settings, node_shift(managed_pages(machine))),
    )


def _empty_tables(nodes: int) -> dict:
    """Return the tables of processes, VMAs and tasks, of which there are none."""
    return dict(
        mm=np.zeros((0, len(st.Mm)), np.int64),
        family=np.zeros((0, len(st.Family)), np.int64),
        vma=np.zeros((0, len(st.Vma)), np.int64),
        task=np.zeros((0, len(st.Task)), np.int64),
        weights=np.zeros((1, nodes + 1), np.int64),
        access_ns=np.zeros((0, nodes), np.int64),
        walk_ns=np.zeros((0, 2, nodes), np.int64),
    )


def _shard_tables(nodes: int, shards: int, accesses: int) -> dict:
    """Return the tables with a row for each shard, and a last one for serial work."""
    shard = np.zeros((shards + 1, st.SHARD_WIDTH), np.int64)
    chains: list[int] = [st.Shard.FREED_BLOCK_HEAD, st.Shard.FREED_BLOCK_TAIL]
    chains += [st.Shard.FREED_IDS + i * len(st.Chain) for i in range(len(Kind))]
    shard[:, chains] = NONE
    pool = np.zeros((shards, nodes, len(st.Pool)), np.int64)
    pool[:, :, [st.Pool.HEAD, st.Pool.HUGE_HEAD]] = NONE
    parts = st.FREED_PARTS
    return dict(
        shard=shard,
        verbs=np.zeros(len(Verb), np.int64),
        verb_words=np.zeros((shards + 1, VERB_WORDS), np.int64),
        pool=pool,
        freed=sparse(parts * accesses, np.int64, True).reshape(parts, accesses),
        freed_count=np.zeros((shards, 2 * parts), np.int64),
        vm=np.zeros((shards + 1, nodes, len(Vm)), np.int64),
        refused=np.zeros((shards + 1, len(Refusal)), np.int64),
        cause=np.zeros((shards + 1, 0, len(Cause)), np.int64),
        ops=np.zeros((shards + 1, 0, len(Op)), np.int64),
        worker_ops=np.zeros((NODE_WORKERS * nodes, len(Op)), np.int64),
        mm_change=np.zeros((shards + 1, 0, len(st.Change)), np.int64),
        lru_change=np.zeros((shards + 1, nodes, 3), np.int64),
        traffic=np.zeros((shards + 1, nodes, nodes), np.int64),
    )


def _door_tables(shards: int) -> dict:
    """Return the tables by which kernels call users' functions, of which none is."""
    asked = np.zeros((shards + 1, ASKED_WIDTH), np.int64)
    asked[:, Asked.ROW] = np.arange(shards + 1)
    return dict(
        door=np.zeros(len(Door), np.int64),
        asked=asked,
        own=np.zeros(1, np.int64),
    )


def _balancing_tables(nodes: int, shards: int) -> dict:
    """Return what NUMA balancing remembers of VMAs, tasks, groups and nodes."""
    return dict(
        numab=np.zeros((0, len(st.Numab)), np.int64),
        numa=np.zeros((0, len(st.Numa)), np.int64),
        numa_faults=np.zeros((0, 4, nodes, 2), np.int64),
        group=np.zeros((0, len(st.Group)), np.int64),
        group_faults=np.zeros((0, 2, nodes, 2), np.int64),
        scan_skips=np.zeros(len(ScanSkip), np.int64),
        numa_seen=np.zeros((shards + 1, 0, st.Seen.FAULTS + 2 * nodes), np.int64),
        numa_met=np.zeros((shards + 1, 0, 0), np.int8),
        numa_pids=np.zeros((shards + 1, 0), np.int64),
        node_seen=np.zeros((shards + 1, nodes, 2), np.int64),
    )
