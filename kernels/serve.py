"""The hot loop: a shard serves its queue up to the first access it must set aside."""

from ._jit import called, inlined, kernel
from ._prefetch import prefetch
from .accesses import (
    ACCESS_TAIL,
    ACCESS_TASK_SHIFT,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
)
from .constants import (
    PTE_DIRTY,
    PTE_PAYLOAD,
    PTE_PRESENT,
    PTE_PROTNONE,
    PTE_WRITE,
    PTE_YOUNG,
    PTE_ZERO,
    Cause,
    Vm,
)
from .memory import handle_mm_fault, is_hit
from .state import (
    CHANGE_LOCAL,
    CHANGE_REMOTE,
    NODE_SHIFT,
    QUEUE_END,
    QUEUE_SERVED,
    SERVED,
    SET_ASIDE,
    TAIL_ALL,
    TAIL_LOCAL,
    TASK_DELTA,
    TASK_MM,
    TASK_NID,
    TASK_REFS,
)

#: Accesses between the prefetch of a PTE and its use.
DISTANCE = 24


@inlined
def settle_run(m, s, task, tail, counts):
    """Charge a run of one task's hits and empty ``counts``, int64[nodes]."""
    cpu_nid = m.task[task, TASK_NID]
    mm = m.task[task, TASK_MM]
    refs = m.task[task, TASK_REFS]
    for nid in range(counts.size):
        hits = counts[nid]
        if hits == 0:
            continue
        counts[nid] = 0
        here = nid == cpu_nid
        m.traffic[s, cpu_nid, nid] += hits * refs
        m.vm[s, cpu_nid, Vm.ACCESSES_LOCAL if here else Vm.ACCESSES_REMOTE] += hits
        m.mm_change[s, mm, CHANGE_LOCAL if here else CHANGE_REMOTE] += hits
        cause = Cause.ACCESS_LOCAL if here else Cause.ACCESS_REMOTE
        m.cause[s, task, cause] += hits * m.access_ns[task, nid]
        if tail:
            m.shard[s, TAIL_ALL] += hits
            if here:
                m.shard[s, TAIL_LOCAL] += hits


@inlined
def touch(m, at, pte, write):
    """Set the bits that the hardware sets."""
    bits = PTE_YOUNG | PTE_DIRTY if write else PTE_YOUNG
    if pte & bits != bits:
        m.pte[at] = pte | bits


@inlined
def hit_node(m, task, pte):
    """Return the node that a hit goes to; the zero page is always local."""
    if pte & PTE_ZERO:
        return m.task[task, TASK_NID]
    return (pte & PTE_PAYLOAD) >> m.info[NODE_SHIFT]


@inlined
def _serve_miss(m, s, word):
    """Serve an access that the hardware cannot; return whether its PTE is usable."""
    task = word >> ACCESS_TASK_SHIFT
    vpn = word & ACCESS_VPN
    write = word & ACCESS_WRITE != 0
    at = vpn + m.task[task, TASK_DELTA]
    status = SERVED
    while status == SERVED and not is_hit(m.pte[at], write):
        status = handle_mm_fault(m, s, task, at, vpn, write)
    return status == SERVED


@called
def _serve_hits(pte, task, queued, k, end, last, run, shift, counts):
    """Serve accesses of a run from ``k`` while they hit; return where that ended.

    A function of its own, so that the faults' code does not cost the hits registers.
    ``run`` are the bits that the run's accesses share: task and tail.  The bits that a
    write adds are computed, not branched on: writes come at random.
    """
    owner = run >> ACCESS_TASK_SHIFT
    delta = task[owner, TASK_DELTA]
    cpu_nid = task[owner, TASK_NID]
    while k < end:
        word = queued[k]
        if word & ~(ACCESS_VPN | ACCESS_WRITE) != run:
            break
        if k + DISTANCE < last:
            ahead = queued[k + DISTANCE]
            shift_of = task[ahead >> ACCESS_TASK_SHIFT, TASK_DELTA]
            prefetch(pte, (ahead & ACCESS_VPN) + shift_of)
        at = (word & ACCESS_VPN) + delta
        write = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
        need = PTE_PRESENT | write * PTE_WRITE
        entry = pte[at]
        if entry & (need | PTE_PROTNONE) != need:
            if not is_hit(entry, write == 1):
                break
            counts[cpu_nid] += 1
        else:
            counts[(entry & PTE_PAYLOAD) >> shift] += 1
        bits = PTE_YOUNG | write * PTE_DIRTY
        if entry & bits != bits:
            pte[at] = entry | bits
        k += 1
    return k


@inlined
def _serve_run(m, s, queued, k, end, last, run, counts):
    """Serve one task's accesses from ``k``; return the first that is not served."""
    shift = m.info[NODE_SHIFT]
    while True:
        k = _serve_hits(m.pte, m.task, queued, k, end, last, run, shift, counts)
        if k == end or queued[k] & ~(ACCESS_VPN | ACCESS_WRITE) != run:
            break
        if not _serve_miss(m, s, queued[k]):
            m.shard[s, SET_ASIDE] = 1
            break
    settle_run(m, s, run >> ACCESS_TASK_SHIFT, run & ACCESS_TAIL != 0, counts)
    return k


@inlined
def _serve_shard(m, s, queued, limit, counts):
    first = m.shard[s, QUEUE_SERVED]
    last = m.shard[s, QUEUE_END]
    end = min(last, first + limit)
    k = first
    while k < end and m.shard[s, SET_ASIDE] == 0:
        run = queued[k] & ~(ACCESS_VPN | ACCESS_WRITE)
        k = _serve_run(m, s, queued, k, end, last, run, counts)
    m.shard[s, QUEUE_SERVED] = k
    return k - first


@kernel
def serve(m, queued, limit, counts, first_shard, step):
    """Serve at most ``limit`` accesses of every ``step``-th shard; return how many.

    queued  int64[accesses]  the shards' queues, back to back
    counts  int64[nodes]     scratch, zero on entry and on return
    """
    served = 0
    for s in range(first_shard, m.shard.shape[0] - 1, step):
        if m.shard[s, SET_ASIDE] == 0:
            served += _serve_shard(m, s, queued, limit, counts)
    return served
