"""What NUMA balancing knows of tasks, groups, pages and nodes."""

from typing import NamedTuple

import numpy as np

from ...kernels import state as st
from ...kernels.words import HPAGE_PMD_ORDER
from .page import page
from .process import Process, Task
from .world import World


class NumaTask(NamedTuple):
    """A task's row (``docs/model/balancing.md``); ms, ns and pages; NONE (-1) for none.

    ``faults`` is int64[4, nodes, 2]: MEM, CPU, MEMBUF, CPUBUF; shared and private.
    """

    period_ms: int
    period_max_ms: int
    stamp_ns: int
    seq: int
    preferred: int
    retry_ms: int
    group: int
    total: int
    remote: int
    local: int
    failed: int
    faults: np.ndarray


class NumaGroup(NamedTuple):
    """A group's row; ``faults`` is int64[2, nodes, 2]: MEM, CPU; shared and private."""

    tasks: int
    total: int
    max_cpu: int
    active: int
    faults: np.ndarray


def numa(world: World, task: Task) -> NumaTask:
    """Return what NUMA balancing knows of a task; it must be on."""
    memory = world.memory
    row = memory.numa[task.id, : st.Numa.FAILED + 1].tolist()
    return NumaTask._make([*row, memory.numa_faults[task.id].copy()])


def numa_group(world: World, number: int) -> NumaGroup:
    """Return a group of tasks by its number, that of the task which made it."""
    memory = world.memory
    row = memory.group[number, : st.Group.ACTIVE + 1].tolist()
    return NumaGroup._make([*row, memory.group_faults[number].copy()])


def scan_state(world: World, process: Process) -> tuple[int, int, int]:
    """Return a process's (passes, page where its scan goes on, next scan in ms)."""
    row = world.memory.mm[process.id]
    offset = max(0, int(row[st.Mm.SCAN_OFFSET]) - process.first_vpn)
    return int(row[st.Mm.SCAN_SEQ]), offset, int(row[st.Mm.NEXT_SCAN])


def scan_skips(world: World) -> np.ndarray:
    """Return int64[len(ScanSkip)]: VMAs that scans passed over, by reason."""
    return world.memory.scan_skips.copy()


def cpupid(world: World, process: Process, vpn: int) -> int:
    """Return the cpupid of a page's last hint fault (kernels/frames/last_cpupid.py)."""
    found = page(world, process, vpn)
    if found.frame < 0:
        return 0
    if found.huge:
        return int(world.memory.block_cpupid[found.frame >> HPAGE_PMD_ORDER])
    return int(world.memory.frame_cpupid[found.frame])


def tier_state(world: World, node: int) -> tuple[int, int]:
    """Return a node's (hot threshold in ms, candidates for promotion to it)."""
    row = world.memory.node[node]
    hot = world.settings.balancing.hot_threshold_ms
    return int(row[st.Node.THRESHOLD]) or hot, int(row[st.Node.CANDIDATES])


def numa_scans(world: World) -> tuple[int, int]:
    """Return how many scans of NUMA balancing there were, and the longest one's ns."""
    info = world.memory.info
    return int(info[st.Info.NUMA_SCANS]), int(info[st.Info.LONGEST_SCAN])
