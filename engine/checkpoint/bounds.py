"""Whether loaded arrays can be used: every index lies in what it is an index of.

Kernels check no bounds.  That what is counted is right, and that all fits together, is
what ``Simulation.check`` proves; it takes much longer.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...kernels import state as st
from ...kernels.counters import MM_WORKERS, NODE_WORKERS
from ...kernels.frames.line_transfer import WRITER_BITS, WRITER_NID
from ...kernels.words import (
    FRAME_VPN,
    HPAGE_PMD_NR,
    PMD_NID,
    PMD_NID_SHIFT,
    PTE_KIND_SHIFT,
    PTE_PAYLOAD,
    PTE_PRESENT,
    Kind,
)
from ..state.parked_arrays import holders_of, ids_of
from ..state.process import Process

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Columns of ``Memory.info`` that a simulation is made with.
_FIXED = [
    *(st.Info.NODE_SHIFT, st.Info.SHARDS, st.Info.SEED),
    *(st.Info.TLB_SETS_4K, st.Info.TLB_SETS_2M, st.Info.TOPOLOGY, st.Info.MAX_DISTANCE),
    *(ids_of(kind) + st.Ids.TOTAL for kind in Kind if kind != Kind.SWAP),
]


class Sizes(NamedTuple):
    """How many there are of what words point to."""

    pages: int
    blocks: int
    frames: int
    #: By Kind: identities of parked pages.
    parked: dict[Kind, int]
    nodes: int


def sizes_of(simulation: "Simulation") -> Sizes:
    """Return the sizes of a simulation's arrays."""
    memory = simulation._memory
    return Sizes(
        memory.pte.size,
        memory.block_list.size,
        memory.frame.size,
        {kind: len(holders_of(memory, kind)) for kind in Kind},
        len(memory.node),
    )


def check_block(name: str, block: np.ndarray, sizes: Sizes) -> None:
    """Raise ValueError if a word of a block of a sparse array leads outside."""
    if name in ("pte", "pmd"):
        _check_entries(name, block, sizes)
        return
    if name == "frame_writers":
        _check_writers(block, sizes)
        return
    if name in ("frame", "block_huge"):
        block, low, end = block & FRAME_VPN, 0, sizes.pages
    else:
        low, end = _ranges(sizes).get(name, (0, 0))
    if end and (int(block.min()) < low or int(block.max()) >= end):
        raise ValueError(f"{name} leads outside")


def _ranges(sizes: Sizes) -> Mapping[str, tuple[int, int]]:
    """Return the least value of sparse arrays of plain numbers, and their ends."""
    return {
        "frame_entry": (-1, max(sizes.parked.values())),
        "block_next": (-1, sizes.blocks),
        "block_prev": (-1, sizes.blocks),
        "block_used": (0, HPAGE_PMD_NR + 1),
        "block_mapped": (0, HPAGE_PMD_NR + 1),
        "block_list": (0, len(st.BlockList)),
        "slot_frame": (-1, max(sizes.frames, sizes.parked[Kind.SWAP])),
        "frame_written": (0, 2),
        "slot_written": (0, 3),
        "entry_frame": (-1, max(sizes.frames, sizes.parked[Kind.MIGCACHE])),
        "own_frame": (-1, max(sizes.frames, sizes.parked[Kind.OWN])),
    }


def _check_entries(name: str, block: np.ndarray, sizes: Sizes) -> None:
    payload = block & PTE_PAYLOAD
    kind = block >> PTE_KIND_SHIFT & len(Kind)
    which = [((block & PTE_PRESENT) != 0, sizes.frames)]
    which += [(kind == one, end) for one, end in sizes.parked.items()]
    for ours, end in which:
        if int(payload.max(where=ours, initial=0)) >= end:
            raise ValueError(f"{name} leads outside")
    if name == "pmd" and int((block & PMD_NID).max()) >> PMD_NID_SHIFT >= sizes.nodes:
        raise ValueError(f"{name} leads outside")


def _check_writers(block: np.ndarray, sizes: Sizes) -> None:
    for node in (block & WRITER_NID, block >> WRITER_BITS & WRITER_NID):
        if int(node.max()) >= sizes.nodes:
            raise ValueError("frame_writers leads outside")


def check_tables(simulation: "Simulation", fresh: st.Memory) -> None:
    """Raise ValueError unless the tables that were loaded fit each other.

    fresh  the state that the simulation was made with
    """
    memory = simulation._memory
    if (memory.info[_FIXED] != fresh.info[_FIXED]).any():
        raise ValueError("scalars are those of another machine")
    for kind in Kind:
        row = memory.info[ids_of(kind) :][: len(st.Ids)]
        limit = len(holders_of(memory, kind))
        highest = row[[st.Ids.TOTAL, st.Ids.VIRGIN_ID, st.Ids.STACK]]
        if (highest > limit).any() or (row < -1).any():
            raise ValueError("slots or entries lie outside")
    _check_shapes(memory, fresh)
    _check_columns(memory)
    _check_objects(simulation)


def _check_shapes(memory: st.Memory, fresh: st.Memory) -> None:
    """Demand as many rows of each table as there are tasks, processes and so on."""
    rows, tasks, processes = len(memory.task), len(memory.tlb), len(memory.mm)
    scanned, met = len(memory.numa), len(memory.numab)
    shards, other = (
        len(fresh.shard),
        {
            "access_ns": rows,
            "walk_ns": rows,
            "worker_ops": NODE_WORKERS * len(memory.node) + MM_WORKERS * processes,
            "numa_faults": scanned,
            "group": scanned,
            "group_faults": scanned,
        },
    )
    wide = {
        "cause": rows,
        "ops": rows,
        "mm_change": processes,
        "numa_met": scanned,
        "numa_pids": met,
    }
    free = {"task", "tlb", "mm", "numa", "numab", "vma", "family", "weights"}
    right = tasks <= rows and memory.info[st.Info.TASKS] == tasks and scanned <= tasks
    right &= memory.numa_seen.shape[1] in (0, rows)
    right &= len(memory.weights) > 0
    for name, like in vars(fresh).items():
        table = getattr(memory, name)
        if not isinstance(like, np.ndarray) or table is like:
            continue
        want = list(like.shape)
        if name in free:
            want[0] = len(table)
        elif name in other:
            want[0] = other[name]
        elif name in wide:
            want[:2] = shards, wide[name]
        elif name == "numa_seen":
            want[1] = table.shape[1]
        if name == "numa_met":
            want[2] = scanned
        right &= list(table.shape) == want
    if not right:
        raise ValueError("tables do not fit each other")


def _check_columns(memory: st.Memory) -> None:
    """Demand that the columns that kernels index with lie in what they index."""
    nodes, blocks = len(memory.node), memory.block_list.size
    rows, processes, vmas = len(memory.task), len(memory.mm), len(memory.vma)
    weights, families = max(len(memory.weights), nodes + 1), len(memory.family)
    limits = [
        (memory.task, st.Task.MM, 0, processes),
        (memory.task, st.Task.NID, 0, nodes),
        (memory.task, st.Task.WEIGHTS, 0, weights),
        (memory.task, st.Task.CPU, 0, memory.cpu_node.size),
        (memory.task, st.Task.OWNER, 0, rows),
        (memory.task, st.Task.PLACE, 0, rows),
        (memory.task, st.Task.LAST, 0, rows),
        (memory.mm, st.Mm.FAMILY, 0, families),
        (memory.mm, st.Mm.NEXT, -1, processes),
        (memory.mm, st.Mm.FIRST_VMA, 0, vmas + 1),
        (memory.mm, st.Mm.END_VMA, 0, vmas + 1),
        (memory.mm, st.Mm.PGD_NID, -1, nodes),
        (memory.family, st.Family.HEAD, -1, processes),
        (memory.family, st.Family.FIRST_VMA, -1, vmas + 1),
        (memory.family, st.Family.END_VMA, -1, vmas + 1),
        (memory.vma, st.Vma.WEIGHTS, 0, weights),
        (memory.vma, st.Vma.NUMAB, -1, len(memory.numab)),
        (memory.numa, st.Numa.PREFERRED, -1, nodes),
        (memory.numa, st.Numa.GROUP, -1, len(memory.numa)),
        (memory.group, st.Group.MAX_CPU, -1, 1 << 31),
    ]
    heads = st.Node.PARTIAL_HEAD, st.Node.RETURNED_HEAD
    limits += [(memory.node, one, -1, blocks) for one in heads]
    ends = st.Node.END_BLOCK, st.Node.VIRGIN
    limits += [(memory.node, one, 0, blocks + 1) for one in ends]
    for table, column, low, end in limits:
        values = table[:, column]
        if values.size and (values.min() < low or values.max() >= end):
            raise ValueError(f"column {column.name} leads outside")


def _check_objects(simulation: "Simulation") -> None:
    """Demand that processes and VMAs lie in the page tables, tasks on CPUs."""
    for owner in simulation.processes:
        _check_process(owner, simulation._next_vpn)
    cpus = len(simulation.machine.cpu_node)
    if not all(0 <= task.cpu < cpus for task in simulation.tasks):
        raise ValueError("a task is on no CPU")
    simulation.samples.check(len(simulation.tasks), len(simulation.machine.memory))


def _check_process(process: Process, pages: int) -> None:
    first, end = process.first_vpn, process.first_vpn + process.span
    inside = all(first <= vma.start <= vma.end <= end for vma in process.vmas)
    if not (inside and 0 <= first + process.delta <= end + process.delta <= pages):
        raise ValueError(f"process {process.id} lies outside")
