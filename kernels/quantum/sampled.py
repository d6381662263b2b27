"""Sampled accesses: marked when they are laid out, noted when they are served.

``docs/model/samples.md``.  A shard's notes stand at the beginning of its own queue, on
accesses that it has served: there are never more of them.  They are in the order of the
layout, whoever served, so that ``collect_samples`` finds each access's note again.
"""

from enum import auto
from typing import Final

from ..access_run import task_in
from ..counters import Cause, Level, Vm
from ..frames.line_transfer import other_writer
from ..frames.page_table import entry_of
from ..jit.compile import inlined, kernel
from ..state import Columns, Info, Node, Shard, Task
from ..words import (
    ACCESS_SAMPLED,
    ACCESS_VPN,
    ACCESS_WRITE,
    ACCESS_WRITE_SHIFT,
    HPAGE_PMD_ORDER,
    NONE,
    PMD_LEAF,
    PTE_PRESENT,
)
from .accesses import CHUNK, shard_of
from .hits import frame_of, hit_node, hit_one


class Listed(Columns):
    """Columns of the sampled accesses of a quantum, int64[n, len(Listed)]."""

    POSITION = auto()  # in the layout
    TASK = auto()
    PLACE = auto()  # among the task's accesses of the quantum


class Sample(Columns):
    """Columns of samples, int64[n, len(Sample)]."""

    TASK = auto()
    VPN = auto()
    NODE = auto()  # of the page
    CPU_NODE = auto()
    WRITE = auto()
    LEVEL = auto()  # Level
    TIME = auto()  # ns


#: Parts of a note: the page's node, the CPU's node, the level.
_CPU_NID_SHIFT: Final = 8
_LEVEL_SHIFT: Final = 16
_NID: Final = (1 << _CPU_NID_SHIFT) - 1
# Numba returns numbers, not members of an enumeration.
_LOCAL, _REMOTE, _SLOW = int(Level.LOCAL), int(Level.REMOTE), int(Level.SLOW)
_CACHE, _WALK, _FAULT = int(Level.CACHE), int(Level.WALK), int(Level.FAULT)
#: The note of an access whose process was dead.
NOT_MADE: Final = -1


@inlined
def mark_chunk(task, start, period, layout, chunk):
    """Mark every ``period``-th access of each task in a chunk of the layout."""
    k = chunk * CHUNK
    end = min(k + CHUNK, start[start.size - 1])
    t = 0
    while start[t + 1] <= k:
        t += 1
    while k < end:
        while start[t + 1] <= k:
            t += 1
        stop = min(end, start[t + 1])
        at = start[t] + task[t, Task.NEXT_SAMPLE]
        if at < k:
            at += (k - at + period - 1) // period * period
        while at < stop:
            layout[at] |= ACCESS_SAMPLED
            at += period
        k = stop


@inlined
def _level(m, entry, at, nid, cpu_nid):
    """Return where a hit found its line."""
    if m.info[Info.LINES] and entry & PTE_PRESENT:
        leaf = m.pmd[at >> HPAGE_PMD_ORDER] & PMD_LEAF != 0
        if other_writer(m, frame_of(entry, at, leaf), cpu_nid) != NONE:
            return _CACHE
    if nid == cpu_nid:
        return _LOCAL
    return _SLOW if m.node[nid, Node.SLOW] else _REMOTE


@inlined
def hit_sampled(m, s, word, faulted, counts):
    """Do what the hardware does for a sampled access; return its note.

    s        shard of the access
    faulted  whether it needed a fault before
    """
    task = task_in(word)
    at = (word & ACCESS_VPN) + m.task[task, Task.DELTA]
    entry, cpu_nid = entry_of(m, at), m.task[task, Task.NID]
    nid = hit_node(m, task, entry)
    level = _level(m, entry, at, nid, cpu_nid)
    if hit_one(m, s, word, counts):
        level = _WALK
    if faulted:
        level = _FAULT
    return nid | cpu_nid << _CPU_NID_SHIFT | level << _LEVEL_SHIFT


@inlined
def note_sample(m, s, queued, note):
    """Keep the note of a sampled access of a shard until the quantum's end."""
    queued[m.shard[s, Shard.QUEUE_FIRST] + m.shard[s, Shard.SAMPLES]] = note
    m.shard[s, Shard.SAMPLES] += 1


@kernel
def mark_played(m, w, accesses, listed):
    """Mark and list the sampled accesses of a recording's quantum; return how many.

    listed  int64[>= samples, len(Listed)], written
    Task.NEXT_SAMPLE moves on to the next quantum's; w.start has the places meanwhile.
    """
    count, period = 0, m.info[Info.SAMPLE_PERIOD]
    for t in range(m.info[Info.TASKS]):
        w.start[t] = 0
    for position in range(accesses):
        t = m.task[task_in(w.layout[position]), Task.OWNER]
        if w.start[t] == m.task[t, Task.NEXT_SAMPLE]:
            w.layout[position] |= ACCESS_SAMPLED
            listed[count, Listed.POSITION] = position
            listed[count, Listed.TASK] = t
            listed[count, Listed.PLACE] = w.start[t]
            m.task[t, Task.NEXT_SAMPLE] += period
            count += 1
        w.start[t] += 1
    for t in range(m.info[Info.TASKS]):
        m.task[t, Task.NEXT_SAMPLE] -= w.start[t]
        w.start[t] = 0
    return count


@kernel
def list_drawn(m, w, listed):
    """List the marked accesses of a quantum in their order; return how many.

    listed  int64[>= samples, len(Listed)], written
    Task.NEXT_SAMPLE moves on to the next quantum's.
    """
    count, period = 0, m.info[Info.SAMPLE_PERIOD]
    for t in range(w.start.size - 1):
        place, quota = m.task[t, Task.NEXT_SAMPLE], w.start[t + 1] - w.start[t]
        while place < quota:
            listed[count, Listed.POSITION] = w.start[t] + place
            listed[count, Listed.TASK] = t
            listed[count, Listed.PLACE] = place
            place += period
            count += 1
        m.task[t, Task.NEXT_SAMPLE] = place - quota
    return count


@inlined
def _next_note(m, w, word):
    """Return the note of an access: the next one of its shard."""
    s = shard_of(word, m.info[Info.SHARDS])
    seen = m.shard[s, Shard.SEEN]
    m.shard[s, Shard.SEEN] = seen + 1
    return w.queued[m.shard[s, Shard.QUEUE_FIRST] + seen]


@inlined
def _count_sample(m, task, cpu_nid, is_lost):
    """Charge a task for a sample and count it."""
    s = m.info[Info.SHARDS]
    m.cause[s, task, Cause.SAMPLE] += m.info[Info.SAMPLE_NS]
    m.vm[s, cpu_nid, Vm.SAMPLES_LOST if is_lost else Vm.SAMPLES_TAKEN] += 1


@inlined
def _write_sample(row, task, word, note, place):
    row[Sample.TASK] = task
    row[Sample.VPN] = word & ACCESS_VPN
    row[Sample.NODE] = note & _NID
    row[Sample.CPU_NODE] = note >> _CPU_NID_SHIFT & _NID
    row[Sample.WRITE] = (word & ACCESS_WRITE) >> ACCESS_WRITE_SHIFT
    row[Sample.LEVEL] = note >> _LEVEL_SHIFT
    row[Sample.TIME] = place


@inlined
def _sum_charges(m, charged):
    """Set what was charged to each task in this quantum, ns; its places included."""
    for t in range(charged.size):
        charged[t] = 0
    for row in range(m.info[Info.TASKS] + m.info[Info.PLACES]):
        for s in range(m.cause.shape[0]):
            for k in range(m.cause.shape[2]):
                charged[m.task[row, Task.OWNER]] += m.cause[s, row, k]


@inlined
def _date(m, rows, count, charged):
    """Turn places into times: a task's accesses share its time of the quantum."""
    for i in range(count):
        t, place = rows[i, Sample.TASK], rows[i, Sample.TIME]
        whole = charged[t] // m.task[t, Task.QUOTA]
        rest = charged[t] % m.task[t, Task.QUOTA] * place // m.task[t, Task.QUOTA]
        rows[i, Sample.TIME] = m.task[t, Task.CLOCK] + whole * place + rest


@kernel
def collect_samples(m, w, listed, count, ring, held, charged, rows):
    """Make samples of a quantum's notes, before it is folded; return how many are kept.

    listed   int64[>= count, len(Listed)]
    ring     most samples of a task that may wait
    held     int64[tasks]: how many wait, counted on
    charged  int64[tasks]: scratch
    rows     int64[count, len(Sample)], written
    """
    kept = 0
    for s in range(m.shard.shape[0]):
        m.shard[s, Shard.SEEN] = 0
    for i in range(count):
        word, t = w.layout[listed[i, Listed.POSITION]], listed[i, Listed.TASK]
        note = _next_note(m, w, word)
        if note == NOT_MADE:
            continue
        is_lost = held[t] >= ring
        _count_sample(m, t, note >> _CPU_NID_SHIFT & _NID, is_lost)
        if not is_lost:
            _write_sample(rows[kept], t, word, note, listed[i, Listed.PLACE])
            held[t] += 1
            kept += 1
    if kept:
        _sum_charges(m, charged)
        _date(m, rows, kept, charged)
    return kept
