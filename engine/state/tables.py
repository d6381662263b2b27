"""The kernels' tables of processes, VMAs and tasks, made from the objects."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...kernels import state as st
from ...kernels.counters import MM_WORKERS, NODE_WORKERS
from ...kernels.knobs import Mode
from ...kernels.words import NONE
from .policies import Policy
from .process import Process, Shmem, Task, Vma

#: The row of each policy that has weights.
Rows = Mapping[Policy, int]


class Tables:
    """Rows of Memory.mm, family, vma, task and weights for the objects of a run.

    Rows of processes and tasks are taken over from table to table; those of VMAs are
    written anew.
    """

    def __init__(self, nodes: int, balancing: bool) -> None:
        self.nodes, self.balancing = nodes, balancing
        self._numab = 0

    def weights(
        self, owners: Sequence[Process | Shmem], tasks: Sequence[Task]
    ) -> tuple[Rows, np.ndarray]:
        """Return ({policy: row}, int64[rows, nodes + 1] of cumulated weights)."""
        policies = [vma.policy for one in owners for vma in one.vmas]
        policies += [task.policy for task in tasks]
        rows: dict[Policy, int] = {}
        table = [np.zeros(self.nodes + 1, np.int64)]
        for policy in policies:
            if policy.mode == Mode.WEIGHTED_INTERLEAVE and policy not in rows:
                weights = np.zeros(self.nodes + 1, np.int64)
                weights[list(policy.nodes)] = policy.weights
                rows[policy] = len(table)
                table.append(np.cumsum(weights))
        return rows, np.array(table)

    def update(
        self,
        memory: st.Memory,
        processes: Sequence[Process],
        tasks: Sequence[Task],
        objects: Sequence[Shmem],
        caches: dict[int, int],
        places: int,
    ) -> st.Memory:
        """Return ``memory`` with tables that hold all processes, tasks and objects.

        caches  {family: FAMILY_CACHE}
        places  rows behind the tasks' for what they do on other CPUs
        """
        rows, weights = self.weights([*processes, *objects], tasks)
        mm = _grown(memory.mm, len(processes))
        family = _families(processes, mm)
        lines = self._vmas(mm, processes, rows)
        lines += _pseudo_vmas(family, objects, caches, rows, len(lines))
        vma = np.array(lines, np.int64).reshape(-1, len(st.Vma))
        count = len(tasks) + places
        task = _grown(memory.task, count)
        memory.info[st.Info.TASKS] = len(tasks)
        for one in tasks:
            row = task[one.id]
            row[st.Task.MODE], row[st.Task.MASK] = one.policy.mode, mask(one.policy)
            row[st.Task.WEIGHTS] = _detail(one.policy, rows)
            row[st.Task.BALANCING] = one.policy.numa_balancing
        scanned = len(tasks) if self.balancing else 0
        workers = NODE_WORKERS * self.nodes + MM_WORKERS * len(processes)
        return memory.replace(
            mm=mm,
            vma=vma,
            task=task,
            weights=weights,
            family=family,
            access_ns=_grown(memory.access_ns, count),
            walk_ns=_grown(memory.walk_ns, count),
            tlb=_grown(memory.tlb, len(tasks)),
            cause=_widened(memory.cause, count),
            ops=_widened(memory.ops, count),
            worker_ops=_grown(memory.worker_ops, workers),
            mm_change=_widened(memory.mm_change, len(processes)),
            numab=_grown(memory.numab, self._numab),
            numa=_grown(memory.numa, scanned),
            numa_faults=_grown(memory.numa_faults, scanned),
            group=_grown(memory.group, scanned),
            group_faults=_grown(memory.group_faults, scanned),
            numa_seen=_widened(memory.numa_seen, count if self.balancing else 0),
            numa_met=_squared(memory.numa_met, scanned),
            numa_pids=_widened(memory.numa_pids[..., None], self._numab)[..., 0],
        )

    def _vmas(
        self, mm: np.ndarray, processes: Sequence[Process], rows: Rows
    ) -> list[tuple]:
        lines: list[tuple] = []
        for one in processes:
            mm[one.id, st.Mm.DELTA] = one.delta
            mm[one.id, st.Mm.FAMILY] = one.family
            mm[one.id, st.Mm.FIRST_VMA] = len(lines)
            for vma in one.vmas:
                if self.balancing and vma.numab < 0:
                    vma.numab, self._numab = self._numab, self._numab + 1
                lines.append(_row(vma, rows))
            mm[one.id, st.Mm.END_VMA] = len(lines)
        return lines


def _row(vma: Vma, rows: Rows) -> tuple:
    """Return a VMA's row."""
    policy = vma.policy
    return (
        *(vma.start, vma.end, vma.read, vma.write, vma.mof),
        *(policy.mode, mask(policy), _detail(policy, rows)),
        *(vma.advice, policy.numa_balancing, vma.numab),
        *(vma.shmem is not None, vma.pgoff, vma.linked),
    )


def _pseudo_vmas(
    family: np.ndarray,
    objects: Sequence[Shmem],
    caches: dict[int, int],
    rows: Rows,
    at: int,
) -> list[tuple]:
    """Return the rows of the objects' policies, by family, the first being ``at``."""
    lines: list[tuple] = []
    for number, cache in caches.items():
        family[number, st.Family.CACHE] = cache
        family[number, st.Family.FIRST_VMA] = at + len(lines)
        for one in objects:
            if one.family == number:
                one.row = at + len(lines)
                lines += [_row(vma, rows) for vma in one.vmas]
        family[number, st.Family.END_VMA] = at + len(lines)
    return lines


def _detail(policy: Policy, rows: Rows) -> int:
    """Return the row of a policy's weights, or its home node and one; 0: neither."""
    return rows.get(policy, 0) if policy.home is None else policy.home + 1


def mask(policy: Policy) -> int:
    """Return the nodes of a policy as a bit mask."""
    return sum(1 << nid for nid in policy.nodes)


def _grown(table: np.ndarray, rows: int) -> np.ndarray:
    grown = np.zeros((rows, *table.shape[1:]), np.int64)
    grown[: len(table)] = table
    return grown


def _widened(table: np.ndarray, columns: int) -> np.ndarray:
    """Return a per-shard table for more tasks or processes, with its contents."""
    shards, old, width = table.shape
    wide = np.zeros((shards, columns, width), np.int64)
    wide[:, :old] = table
    return wide


def _squared(table: np.ndarray, tasks: int) -> np.ndarray:
    """Return a per-shard table of pairs for more tasks, with its contents."""
    old = table.shape[1]
    wide = np.zeros((table.shape[0], tasks, tasks), np.int8)
    wide[:, :old, :old] = table
    return wide


def _families(processes: Sequence[Process], mm: np.ndarray) -> np.ndarray:
    """Chain the live processes of each family in order of creation."""
    count = 1 + max((one.family for one in processes), default=-1)
    family = np.full((count, len(st.Family)), NONE, np.int64)
    last: dict[int, int] = {}
    for one in processes:
        mm[one.id, st.Mm.NEXT] = NONE
        if not one.alive:
            continue
        if one.family in last:
            mm[last[one.family], st.Mm.NEXT] = one.id
        else:
            family[one.family, st.Family.HEAD] = one.id
        last[one.family] = one.id
    return family
