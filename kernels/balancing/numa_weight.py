"""How much a node is worth to a task or a group (task_weight, group_weight, fair.c).

``docs/model/balancing.md`` 14.  1000 stands for all faults.  On machines whose nodes
are not all equally far apart, faults on nearby nodes count, too.
"""

from typing import Final

from ..jit.compile import called, inlined
from ..knobs import Topology
from ..state import Group, Info, Node, Numa, NumaFaults
from ..words import NONE

_LOCAL_DISTANCE: Final = 10


@inlined
def node_online(m, n):
    """Tell whether Linux knows a node: one with CPUs stays if its memory is removed."""
    return m.node[n, Node.ONLINE] or m.node[n, Node.CPUS] > 0


@inlined
def _faults(faults, n):
    return faults[NumaFaults.MEM, n, 0] + faults[NumaFaults.MEM, n, 1]


@inlined
def group_faults(m, group, kind, n):
    """Return a group's faults on memory of a node (MEM), or by its CPUs (CPU)."""
    faults = m.group_faults[group, kind, n]
    return faults[0] + faults[1]


@inlined
def _score_nearby_nodes(m, faults, n, limit):
    """Add up the faults on the nodes around ``n`` (score_nearby_nodes)."""
    score = 0
    furthest = m.info[Info.MAX_DISTANCE]
    for other in range(m.node.shape[0]):
        distance = m.distance[n, other]
        if other == n or distance >= furthest or not node_online(m, other):
            continue
        if m.info[Info.TOPOLOGY] == Topology.BACKPLANE and distance >= limit:
            continue
        counted = _faults(faults, other)
        if m.info[Info.TOPOLOGY] == Topology.GLUELESS_MESH:
            counted = counted * (furthest - distance) // (furthest - _LOCAL_DISTANCE)
        score += counted
    return score


@inlined
def _weight(m, faults, total, n, limit):
    if total <= 0:
        return 0
    score = _faults(faults, n)
    if m.info[Info.TOPOLOGY] != Topology.DIRECT:
        score += _score_nearby_nodes(m, faults, n, limit)
    return 1000 * score // total


@called
def task_weight(m, task, n, limit):
    """Return which part of a task's faults, in 1000, is on a node or near it."""
    return _weight(m, m.numa_faults[task], m.numa[task, Numa.TOTAL], n, limit)


@called
def group_weight(m, task, n, limit):
    """Return the same of the faults of the task's group, or 0 without a group."""
    group = m.numa[task, Numa.GROUP]
    if group == NONE:
        return 0
    return _weight(m, m.group_faults[group], m.group[group, Group.TOTAL], n, limit)


@inlined
def _has_distance(m, distance):
    """Tell whether two nodes with CPUs are that far apart (find_numa_distance)."""
    for a in range(m.node.shape[0]):
        for b in range(m.node.shape[0]):
            if (
                m.node[a, Node.CPUS]
                and m.node[b, Node.CPUS]
                and m.distance[a, b] == distance
            ):
                return True
    return False


@inlined
def _top_group(m, faults, nodes, distance):
    """Return (mask of the set of nodes with the most faults, its first node).

    ``nodes``, a mask, is divided into sets: nodes nearer than ``distance`` to the first
    of the set.
    """
    best, best_faults, first = 0, 0, NONE
    for a in range(m.node.shape[0]):
        if not (nodes >> a) & 1:
            continue
        counted, members = 0, 0
        for b in range(m.node.shape[0]):
            if (nodes >> b) & 1 and m.distance[a, b] < distance:
                counted += _faults(faults, b)
                members |= 1 << b
                nodes &= ~(1 << b)
        if counted > best_faults:
            best, best_faults, first = members, counted, a
    return best, first


@inlined
def _descend(m, faults, nid):
    """Find the best node of a backplane machine, level by level."""
    nodes = 0
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS]:
            nodes |= 1 << n
    distance = m.info[Info.MAX_DISTANCE]
    while distance > _LOCAL_DISTANCE:
        if _has_distance(m, distance):
            best, first = _top_group(m, faults, nodes, distance)
            if first == NONE:
                break
            nodes, nid = best, first
        distance -= 1
    return nid


@called
def preferred_group_nid(m, task, nid):
    """Return the node for a task in a group; ``nid`` has the most of its faults."""
    if m.info[Info.TOPOLOGY] == Topology.DIRECT:
        return nid
    if m.info[Info.TOPOLOGY] == Topology.BACKPLANE:
        return _descend(m, m.group_faults[m.numa[task, Numa.GROUP]], nid)
    best, best_score = nid, 0
    for n in range(m.node.shape[0]):
        if m.node[n, Node.CPUS] == 0:
            continue
        score = group_weight(m, task, n, m.info[Info.MAX_DISTANCE])
        if score > best_score:
            best, best_score = n, score
    return best
