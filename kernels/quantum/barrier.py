"""What happens between quanta, one access at a time: the serial half of the engine."""

from enum import IntEnum
from typing import Final

from ..access_run import bits_of, task_in
from ..counters import Cause, Op, Worker
from ..fault.memory import handle_mm_fault
from ..frames.account import node_worker
from ..frames.page_table import entry_of, is_hit
from ..frames.vma import find_vma, pseudo_vma
from ..jit.arrays import from_start
from ..jit.compile import called, inlined, kernel
from ..jit.prefetch import prefetchw
from ..knobs import Mode
from ..placement.asked import base_of_answer
from ..placement.compaction import compact_zone
from ..placement.mempolicy import ALL_NODES, policy_of, zonelist_of
from ..reclaim.shrink_node import MAX_RECLAIM_RETRIES, balance_pgdat, try_to_free_pages
from ..state import NO_MEMORY, SERVED, Cost, Info, Node, Shard, Task, Vma
from ..words import ACCESS_SAMPLED, ACCESS_VPN, ACCESS_WRITE, NONE
from .accesses import shard_of
from .hits import hit_one, settle_run
from .sampled import NOT_MADE, hit_sampled, note_sample


class Stop(IntEnum):
    """Why the barrier gave control back to Python."""

    #: All accesses set aside are served.
    DONE = 0
    #: The limit of one call is reached; call again.
    LIMIT = 1
    #: The access at POSITION found no memory; kill something and call again.
    OOM = 2
    #: The access at POSITION is outside every mapping, or not permitted.
    SEGV = 3


#: Accesses between the prefetch of a PTE and its use.
DISTANCE: Final = 16
_SERVED: Final = -1
_DONE, _LIMIT = int(Stop.DONE), int(Stop.LIMIT)
_OOM, _SEGV = int(Stop.OOM), int(Stop.SEGV)


@inlined
def _reclaim_ns(m):
    """Return how long reclaim has worked, ns."""
    ns = m.info[Info.SCANNED] * m.cost[Cost.RECLAIM_PAGE]
    return ns + m.info[Info.WRITTEN] * m.cost[Cost.SWAP_OUT]


@inlined
def _count_kswapd(m, n):
    """Count what kswapd of a node did, which costs no task anything but waiting."""
    row = node_worker(m, Worker.KSWAPD, n)
    m.worker_ops[row, Op.RECLAIM] += m.info[Info.SCANNED]
    m.worker_ops[row, Op.SWAP_OUT] += m.info[Info.WRITTEN]
    m.worker_ops[row, Op.WORK_NS] += _reclaim_ns(m)
    m.info[Info.SCANNED] = 0
    m.info[Info.WRITTEN] = 0


@called
def _reclaim(m, task, vpn):
    """Reclaim for an access that found no memory; return whether to try again."""
    v = find_vma(m, m.task[task, Task.MM], vpn)
    if m.vma[v, Vma.SHARED]:
        v = pseudo_vma(m, vpn)
    mode, mask, row = policy_of(m, task, v)
    base, mask = zonelist_of(m, task, v, vpn, 0, mode, mask, row)
    base = base_of_answer(m, m.info[Info.SHARDS], base)
    if mode == Mode.PREFERRED_MANY:
        mask = ALL_NODES
    reclaimed = try_to_free_pages(m, base, mask)
    m.cause[m.info[Info.SHARDS], task, Cause.RECLAIM] += _reclaim_ns(m)
    m.ops[m.info[Info.SHARDS], task, Op.RECLAIM] += m.info[Info.SCANNED]
    m.ops[m.info[Info.SHARDS], task, Op.SWAP_OUT] += m.info[Info.WRITTEN]
    m.info[Info.SCANNED] = 0
    m.info[Info.WRITTEN] = 0
    if reclaimed > 0:
        m.info[Info.NO_PROGRESS] = 0
        return True
    m.info[Info.NO_PROGRESS] += 1
    return m.info[Info.NO_PROGRESS] <= MAX_RECLAIM_RETRIES


@called
def _serve_serially(m, task, at, vpn, write):
    """Serve one access; return _SERVED, OOM or SEGV."""
    s = m.info[Info.SHARDS]
    m.info[Info.NO_PROGRESS] = 0
    while not is_hit(entry_of(m, at), write):
        status = handle_mm_fault(m, s, task, at, vpn, write)
        if status == SERVED:
            m.info[Info.NO_PROGRESS] = 0
        elif status == NO_MEMORY:
            if not _reclaim(m, task, vpn):
                return _OOM
        else:
            return _SEGV
    return _SERVED


@called
def _run_daemons(m):
    for n in range(m.node.shape[0]):
        if m.node[n, Node.KSWAPD_WOKEN]:
            m.node[n, Node.KSWAPD_WOKEN] = 0
            balance_pgdat(m, n)
            _count_kswapd(m, n)
        if m.node[n, Node.KCOMPACTD_WOKEN]:
            m.node[n, Node.KCOMPACTD_WOKEN] = 0
            compact_zone(m, n, NONE)


@kernel
def run_daemons(m):
    """Let kswapd and kcompactd of the nodes that woke them work."""
    _run_daemons(m)


@inlined
def _passed_in_shard(m, word):
    """Tell whether a shard has served this access of the layout already."""
    s = shard_of(word, m.info[Info.SHARDS])
    seen = m.shard[s, Shard.SEEN]
    m.shard[s, Shard.SEEN] = seen + 1
    return seen < m.shard[s, Shard.QUEUE_SERVED] - m.shard[s, Shard.QUEUE_FIRST]


@inlined
def _step_back(m, word, position):
    """Go back to an access that could not be served, so that the next call meets it."""
    m.info[Info.POSITION] = position
    m.shard[shard_of(word, m.info[Info.SHARDS]), Shard.SEEN] -= 1


@inlined
def _ask_ahead(m, word):
    """Prefetch the PTE of an access that comes later."""
    delta = m.task[task_in(word), Task.DELTA]
    prefetchw(m.pte, (word & ACCESS_VPN) + delta)


@called
def _hit(m, word, queued, faulted, counts):
    """Do what the hardware does, and note the access if it is sampled."""
    s = shard_of(word, m.info[Info.SHARDS])
    if word & ACCESS_SAMPLED:
        note_sample(m, s, queued, hit_sampled(m, s, word, faulted, counts))
    else:
        hit_one(m, s, word, counts)


@inlined
def _serve_again(m, word, queued, counts):
    """Serve one access of the layout; after a fault let the daemons work."""
    task = task_in(word)
    vpn = word & ACCESS_VPN
    write = word & ACCESS_WRITE != 0
    at = vpn + m.task[task, Task.DELTA]
    if is_hit(entry_of(m, at), write):
        _hit(m, word, queued, False, counts)
        return _SERVED
    stop = _serve_serially(m, task, at, vpn, write)
    if stop == _SERVED:
        _hit(m, word, queued, True, counts)
        _run_daemons(m)
    return stop


@inlined
def _settle(m, word, counts):
    """Charge the hits of the run of accesses that ends with ``word``."""
    settle_run(m, m.info[Info.SHARDS], bits_of(word), counts)


@inlined
def _is_alive(m, word):
    owner = m.task[task_in(word), Task.OWNER]
    return m.task[owner, Task.ALIVE] == 1


@inlined
def _drop(m, word, queued):
    """Pass over an access of a process that is dead."""
    m.info[Info.DROPPED] += 1
    if word & ACCESS_SAMPLED:
        note_sample(m, shard_of(word, m.info[Info.SHARDS]), queued, NOT_MADE)


@kernel
def serve_set_aside(m, layout, queued, accesses, limit, counts):
    """Serve what the shards set aside, in the order of the layout; return a Stop.

    layout  int64[>= accesses]  the quantum's accesses in their order
    queued  int64[>= accesses]  the shards' queues: for notes of samples
    limit   most accesses to serve in this call
    counts  int64[hit_counts(nodes)]  scratch (``access_run.py``), zero before and
            after
    """
    stop = _DONE
    layout, counts = from_start(layout), from_start(counts)
    served, last = 0, layout[min(m.info[Info.POSITION], accesses - 1)]
    for position in range(m.info[Info.POSITION], accesses):
        word = layout[position]
        if position + DISTANCE < accesses:
            _ask_ahead(m, layout[position + DISTANCE])
        m.info[Info.POSITION] = position + 1
        if _passed_in_shard(m, word):
            continue
        if not _is_alive(m, word):
            _drop(m, word, queued)
            continue
        if bits_of(word) != bits_of(last):
            _settle(m, last, counts)
        last = word
        stop = _serve_again(m, word, queued, counts)
        if stop != _SERVED:
            _step_back(m, word, position)
            break
        served += 1
        stop = _LIMIT if served == limit else _DONE
        if stop == _LIMIT:
            break
    _settle(m, last, counts)
    return stop
