"""Whether a hint fault may move the page: the filters and limits of NUMA balancing.

mpol_misplaced (mm/mempolicy.c) and should_numa_migrate_memory (kernel/sched/fair.c),
6.12; ``docs/model/balancing.md`` 2, 4, 5 and 8.  Asking changes nothing, because the
fault may still be set aside; ``note_filter`` makes the changes of the filter.
"""

from typing import Final

from ..counters import Refusal, Vm
from ..doors import Door
from ..frames.last_cpupid import (
    TIME_MASK,
    cpupid_nid,
    cpupid_of,
    cpupid_pid,
    folio_last_cpupid,
    pid_of,
    set_last_cpupid,
    uses_access_time,
)
from ..frames.page_alloc import node_of
from ..frames.vma import pseudo_vma
from ..jit.compile import called, inlined
from ..knobs import Balancing, Filter, Mode
from ..placement.asked import DEFAULT, allowed_nodes, is_node, refusal_of
from ..placement.mempolicy import in_mask, mpol_misplaced, policy_of
from ..state import Group, Info, Node, NodeSeen, Numa, NumaFaults, Task, Vma
from ..words import NONE
from .ask_about_fault import ask_about_fault
from .numa_weight import group_faults

#: Answers: move it, move it because there is plenty of room, or a Refusal.
MIGRATE: Final = -1
_ROOMY: Final = -2
_TWO_STAGE, _GROUP_WEIGHT = int(Refusal.TWO_STAGE), int(Refusal.GROUP_WEIGHT)
_COLD, _RATE_LIMIT = int(Refusal.COLD), int(Refusal.RATE_LIMIT)
_POLICY_NODE: Final = int(Refusal.POLICY_NODE)
_TIERING: Final = int(Balancing.TIERING)
#: ACTIVE_NODE_FRACTION
FRACTION: Final = 3
#: Up to this sequence number of scans, a task's private pages move at once.
_EARLY_SEQ: Final = 4
_GIB_PAGES: Final = 1 << 18


@inlined
def _policy_row(m, v, vpn):
    """Return the row that has a page's policy: its VMA, or a part of its object."""
    return pseudo_vma(m, vpn) if m.vma[v, Vma.SHARED] else v


@inlined
def vma_policy_mof(m, task, v, vpn):
    """Tell whether a page of a VMA may migrate on fault (vma_policy_mof)."""
    if m.vma[v, Vma.SHARED] and not m.info[Info.SCAN_SHMEM]:
        # No policy of its object has the flag (shmem_get_policy, before 6.7).
        return False
    row = _policy_row(m, v, vpn)
    if m.vma[row, Vma.MOF]:
        return True
    if m.vma[row, Vma.MODE] != Mode.DEFAULT:
        return m.vma[row, Vma.BALANCING] == 1
    return m.task[task, Task.MODE] == Mode.DEFAULT or m.task[task, Task.BALANCING] == 1


@inlined
def _noted(m, s, n, column):
    """Return what to add to the count of the quantum's start, against a limit.

    A shard does not see the others, so it assumes that each noted what it did itself.
    """
    if s < m.info[Info.SHARDS]:
        return m.node_seen[s, n, column] * m.info[Info.SHARDS]
    pages = 0
    for i in range(m.node_seen.shape[0]):
        pages += m.node_seen[i, n, column]
    return pages


@inlined
def _pgdat_free_space_enough(m, n):
    spare = max(_GIB_PAGES, m.node[n, Node.SPAN] // 16)
    return m.node[n, Node.FREE] > m.node[n, Node.PROMO] + spare


@inlined
def _threshold(m, n):
    threshold = m.node[n, Node.THRESHOLD]
    return threshold if threshold else m.info[Info.HOT_THRESHOLD]


@inlined
def _is_hot(m, n, word):
    """Tell whether a page was used soon after its mark (numa_hint_fault_latency)."""
    marked = word - 1 if word else 0
    return (m.info[Info.NOW_MS] - marked) & TIME_MASK < _threshold(m, n)


@inlined
def _promotes(m, s, n, word, pages):
    """Return the answer for a page of a slow node."""
    if _pgdat_free_space_enough(m, n):
        return _ROOMY
    if not _is_hot(m, n, word):
        return _COLD
    share = pages * (m.info[Info.SHARDS] if s < m.info[Info.SHARDS] else 1)
    counted = m.node[n, Node.CANDIDATES] + _noted(m, s, n, NodeSeen.CANDIDATES) + share
    if counted - m.node[n, Node.PROMOTE_BASE] >= m.info[Info.PROMOTE_LIMIT]:
        return _RATE_LIMIT
    return MIGRATE


@inlined
def numa_is_active_node(m, group, n):
    """Tell whether a group runs on a node; until 4.5 that was remembered (10.7)."""
    if m.info[Info.FILTER] == Filter.ACTIVE_NODES:
        return m.group[group, Group.NODES] >> n & 1 == 1
    used = group_faults(m, group, NumaFaults.CPU, n)
    return used * FRACTION > m.group[group, Group.MAX_CPU]


@inlined
def _spreads(m, group, source, target):
    """Tell whether a page of a group moves to where it runs, and has less memory."""
    if not numa_is_active_node(m, group, target):
        return False
    if not numa_is_active_node(m, group, source):
        return True
    there = group_faults(m, group, NumaFaults.MEM, source)
    return group_faults(m, group, NumaFaults.MEM, target) < there * 3 // 4


@inlined
def _group_gains(m, group, source, target):
    """Compare the group's use of CPUs and memory on two nodes; 3/4 is hysteresis."""
    used_here = group_faults(m, group, NumaFaults.CPU, target)
    used_there = group_faults(m, group, NumaFaults.CPU, source)
    if used_here > FRACTION * used_there:
        return True
    memory_here = group_faults(m, group, NumaFaults.MEM, target)
    memory_there = group_faults(m, group, NumaFaults.MEM, source)
    return used_here * memory_there * 3 > used_there * memory_here * 4


@inlined
def _filtered_2014(m, task, n, last):
    """Return the answer of 3.15 to 4.5 (filter ``active_nodes``)."""
    d, group = m.task[task, Task.NID], m.numa[m.task[task, Task.OWNER], Numa.GROUP]
    if last != 0 and cpupid_nid(m, last) != d:
        return _TWO_STAGE
    if group == NONE or last != 0 and cpupid_pid(last) == pid_of(m, task):
        return MIGRATE
    return MIGRATE if _spreads(m, group, n, d) else _GROUP_WEIGHT


@inlined
def _filtered(m, task, n, last):
    """Return the answer by the last fault on the page and by the task's group."""
    d = m.task[task, Task.NID]
    here = last != 0 and cpupid_nid(m, last) == d
    if m.info[Info.FILTER] == Filter.LAST_NID:
        return MIGRATE if here else _TWO_STAGE
    if m.info[Info.FILTER] == Filter.ACTIVE_NODES:
        return _filtered_2014(m, task, n, last)
    if m.info[Info.BALANCING] & _TIERING == 0 and m.node[n, Node.SLOW] and last == 0:
        return _TWO_STAGE
    private = last != 0 and cpupid_pid(last) == pid_of(m, task)
    numa = m.numa[m.task[task, Task.OWNER]]
    early = numa[Numa.PREFERRED] == NONE or numa[Numa.SEQ] <= _EARLY_SEQ
    if early and (private or last == 0):
        return MIGRATE
    if last != 0 and not here:
        return _TWO_STAGE
    if private or numa[Numa.GROUP] == NONE:
        return MIGRATE
    return MIGRATE if _group_gains(m, numa[Numa.GROUP], n, d) else _GROUP_WEIGHT


@called
def should_numa_migrate_memory(m, s, task, n, word, pages):
    """Return MIGRATE, _ROOMY or the Refusal for a page of node ``n``.

    word  its last cpupid or access time
    """
    if uses_access_time(m, n):
        return _promotes(m, s, m.task[task, Task.NID], word, pages)
    if m.info[Info.FILTER] == Filter.NONE:
        return MIGRATE
    return _filtered(m, task, n, word)


@inlined
def _is_filtered(m, mode, mask, n, d):
    """Tell whether the filter looks at a page of node ``n`` that node ``d`` uses."""
    if mode == Mode.DEFAULT:
        if n == d and not m.info[Info.LOCAL_CPUPID]:
            return False
    elif not in_mask(mask, d):
        return False
    return m.node[d, Node.SPAN] != 0


@inlined
def _target_of(m, answer, n, mask):
    """Return (node that a page should be on or NONE, MIGRATE or a Refusal)."""
    if answer < 0:
        return NONE, refusal_of(answer)
    if answer == n:
        return NONE, MIGRATE
    if not is_node(m, answer, mask):
        return NONE, _POLICY_NODE
    return answer, MIGRATE


@called
def _answered(m, s, fault, policy, filtered):
    """Return as ``numa_misplaced`` what a user's policy says; DEFAULT: the kernel's.

    policy    row of the policy of the fault's VMA
    filtered  whether the filter looks at the page
    """
    answer = ask_about_fault(m, s, fault)
    if answer == DEFAULT:
        return NONE, DEFAULT, False
    mask = allowed_nodes(m, fault.task, policy)
    target, refusal = _target_of(m, answer, fault.nid, mask)
    remote = fault.nid != m.task[fault.task, Task.NID]
    noted = refusal == _POLICY_NODE or refusal != MIGRATE and remote
    return target, refusal, filtered or target != NONE or noted


@called
def numa_misplaced(m, s, fault):
    """Return (node that a page should be on or NONE, answer, whether the filter ran).

    If the answer is a Refusal, the page should be on the task's node but stays.  If it
    is there already, the answer matters only to the count of promotion candidates.
    """
    task, v, vpn, pfn, n = fault.task, fault.v, fault.vpn, fault.pfn, fault.nid
    d = m.task[task, Task.NID]
    if not vma_policy_mof(m, task, v, vpn):
        return NONE, MIGRATE, False
    policy, lazy = _policy_row(m, v, vpn), m.vma[v, Vma.MOF] == 1
    mode, mask, _ = policy_of(m, task, policy)
    filtered = not lazy and _is_filtered(m, mode, mask, n, d)
    if m.door[Door.ANY]:
        target, answer, asked = _answered(m, s, fault, policy, filtered)
        if answer != DEFAULT:
            return target, answer, asked
    if lazy:
        return mpol_misplaced(m, task, v, vpn, pfn), MIGRATE, False
    if not filtered:
        return NONE, MIGRATE, False
    word = folio_last_cpupid(m, pfn)
    answer = should_numa_migrate_memory(m, s, task, n, word, fault.pages)
    if n == d:
        return NONE, answer, True
    return d if answer < 0 else NONE, answer, True


@inlined
def _asks_for_balancing(m, task, v, vpn):
    """Tell whether the policy in force has the flag of NUMA balancing (MORON)."""
    if m.vma[v, Vma.MOF]:
        return False
    row = _policy_row(m, v, vpn)
    if m.vma[row, Vma.MODE] == Mode.DEFAULT:
        return m.task[task, Task.BALANCING] == 1
    return m.vma[row, Vma.BALANCING] == 1


@called
def misplaced_when_off(m, s, fault):
    """Return (node that a marked page should be on, answer), with NUMA balancing off.

    The answer is MIGRATE, or the Refusal of a user's policy.
    """
    task, v, vpn = fault.task, fault.v, fault.vpn
    if m.door[Door.ANY]:
        policy = _policy_row(m, v, vpn)
        target, answer, _ = _answered(m, s, fault, policy, False)
        if answer != DEFAULT:
            return target, answer
    return _default_when_off(m, task, v, vpn, fault.pfn), MIGRATE


@inlined
def _default_when_off(m, task, v, vpn, pfn):
    """Return the node that the kernel says: that of the memory policy.

    A policy with the flag still moves what was marked before to the task's node.
    """
    if not _asks_for_balancing(m, task, v, vpn):
        return mpol_misplaced(m, task, v, vpn, pfn)
    _, mask, _ = policy_of(m, task, _policy_row(m, v, vpn))
    nid = m.task[task, Task.NID]
    return nid if in_mask(mask, nid) and node_of(m, pfn) != nid else NONE


@inlined
def note_refusal(m, s, refusal, remote, pages):
    """Count pages that stay though they are remote; a wrong node counts always."""
    if remote or refusal == Refusal.POLICY_NODE:
        m.refused[s, refusal] += pages


@called
def note_filter(m, s, task, pfn, n, pages, answer):
    """Make the filter's changes to the page and its node, now that the fault counts."""
    d = m.task[task, Task.NID]
    if answer >= 0:
        note_refusal(m, s, answer, n != d, pages)
    if not uses_access_time(m, n):
        set_last_cpupid(m, pfn, cpupid_of(m, task))
        return
    if answer == _ROOMY:
        m.node[d, Node.ROOMY] = 1
        return
    m.node[d, Node.ASKED] = 1
    set_last_cpupid(m, pfn, (m.info[Info.NOW_MS] & TIME_MASK) + 1)
    if answer == MIGRATE or answer == _RATE_LIMIT:
        m.node_seen[s, d, NodeSeen.CANDIDATES] += pages
        m.vm[s, d, Vm.PGPROMOTE_CANDIDATE] += pages


@inlined
def numamigrate_update_ratelimit(m, s, n):
    """Tell whether a node is over its migration limit in this window (3.8 to 4.18)."""
    limit = m.info[Info.MIGRATE_LIMIT]
    if limit == 0:
        return False
    return m.node[n, Node.MIGRATE_PAGES] + _noted(m, s, n, NodeSeen.MIGRATED) > limit


@inlined
def note_migration(m, s, n, pages):
    """Count a migration to a node against its limit, whether there is room or not."""
    if m.info[Info.MIGRATE_LIMIT]:
        counted = pages if m.info[Info.LIMIT_BY_PAGES] else 1
        m.node_seen[s, n, NodeSeen.MIGRATED] += counted
