"""The hot loop: a shard serves its queue up to the first access it must set aside."""

from ..access_run import Run, bits_of, task_in, task_of
from ..fault.fault_row import serve_row
from ..fault.memory import handle_mm_fault
from ..frames.look_ahead import look_ahead, look_at_first
from ..frames.page_table import entry_of, is_hit
from ..jit.compile import called, inlined
from ..state import SERVED, Shard, Task
from ..words import ACCESS_SAMPLED, ACCESS_VPN, ACCESS_WRITE
from .hits import ask_ahead, hits_from, is_plain, settle_run
from .sampled import hit_sampled, note_sample


@inlined
def _serve_miss(m, s, word):
    """Serve an access that the hardware cannot; return whether its PTE is usable."""
    task = task_in(word)
    vpn = word & ACCESS_VPN
    write = word & ACCESS_WRITE != 0
    at = vpn + m.task[task, Task.DELTA]
    status = SERVED
    while status == SERVED and not is_hit(entry_of(m, at), write):
        status = handle_mm_fault(m, s, task, at, vpn, write)
    return status == SERVED


@called
def _serve_sampled(m, s, k, run):
    """Serve a sampled access of a run, and note it; return the first not served."""
    word = run.queued[k]
    at = (word & ACCESS_VPN) + m.task[task_of(run), Task.DELTA]
    faulted = not is_hit(entry_of(m, at), word & ACCESS_WRITE != 0)
    if faulted:
        look_ahead(m, run.queued, k, run.last)
        if not _serve_miss(m, s, word):
            return k
    else:
        ask_ahead(m, k, run)
    note_sample(m, s, run.queued, hit_sampled(m, s, word, faulted, run.counts))
    return k + 1


@inlined
def _serve_run(m, s, k, run):
    """Serve a run from access ``k``; return the first access that is not served."""
    while True:
        k = hits_from(m, s, k, run)
        if k == run.end or bits_of(run.queued[k]) != run.bits:
            break
        if run.queued[k] & ACCESS_SAMPLED:
            after = _serve_sampled(m, s, k, run)
            if after == k:
                m.shard[s, Shard.SET_ASIDE] = 1
                break
            k = after
            continue
        if is_plain(m):
            after = serve_row(m, s, k, run)
            if after > k:
                k = after
                continue
        look_ahead(m, run.queued, k, run.last)
        if not _serve_miss(m, s, run.queued[k]):
            m.shard[s, Shard.SET_ASIDE] = 1
            break
    settle_run(m, s, run.bits, run.counts)
    return k


@inlined
def serve_shard(m, s, queued, limit, counts):
    """Serve at most ``limit`` accesses of a shard, up to one it must set aside.

    queued  int64[accesses]  the shards' queues, one after the other
    counts  int64[hit_counts(nodes)]  scratch (``access_run.py``), zero before and
            after
    """
    k, last = m.shard[s, Shard.QUEUE_SERVED], m.shard[s, Shard.QUEUE_END]
    end = min(last, k + limit)
    look_at_first(m, queued, k, end)
    while k < end and m.shard[s, Shard.SET_ASIDE] == 0:
        k = _serve_run(m, s, k, Run(queued, end, last, bits_of(queued[k]), counts))
    m.shard[s, Shard.QUEUE_SERVED] = k
