"""What NUMA balancing knows of tasks and groups, for callers to look at."""

from typing import NamedTuple

import numpy as np

from ...kernels import state as st


class NumaTask(NamedTuple):
    """A task's row (``docs/model.md`` §11); ms, ns and pages; NONE (-1) for none.

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


def numa_task(memory: st.Memory, task: int) -> NumaTask:
    """Return a task's row."""
    row = memory.numa[task, : st.Numa.FAILED + 1].tolist()
    return NumaTask(*row, memory.numa_faults[task].copy())


def numa_group(memory: st.Memory, number: int) -> NumaGroup:
    """Return a group's row."""
    return NumaGroup(*memory.group[number].tolist(), memory.group_faults[number].copy())
