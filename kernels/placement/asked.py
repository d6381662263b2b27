"""What a user's placement policy is asked, and what it answered.

``docs/model/own_policy.md``.  A row of ``Memory.asked`` belongs to a shard, the last
one to serial work: the function's arguments (``Fault``, ``Touch``, ``Cold``), and the
last answer.  A function that counts must see each fault once, so the answer waits there
until the fault is served: a row of faults may leave it to ``handle_mm_fault``, a shard
to the barrier.
"""

from enum import auto
from typing import Final

from ..counters import Refusal
from ..doors import FAILED, Asked, Door
from ..jit.by_address import call_words
from ..jit.compile import called, inlined
from ..knobs import Mode
from ..state import Columns, Info, Node, Task, Vma
from ..words import HPAGE_PMD_ORDER, NONE
from .mempolicy import ALL_NODES, in_mask, policy_of

#: Answers that are no node: the page stays where it is, the kernel decides, and from
#: this one down Refusal ``REFUSED - answer``.
STAY: Final = -1
DEFAULT: Final = -2
REFUSED: Final = -16
_POLICY, _POLICY_NODE = int(Refusal.POLICY), int(Refusal.POLICY_NODE)
_TOUCH: Final = int(Door.FIRST_TOUCH)
#: ns in a millisecond.
MS: Final = 1_000_000


class Fault(Columns):
    """What ``hint_fault`` and ``promote`` are asked about, all int64."""

    PAGE = auto()  # index of its PTE; of a huge page's: the one that was touched
    BLOCK = auto()  # index of its PMD entry
    TASK = auto()
    PROCESS = auto()
    NODE = auto()  # of the page
    CPU_NODE = auto()  # of the task
    LAST_NODE = auto()  # of the CPU that took the last hint fault; -1: nobody known
    LAST_SAME_TASK = auto()  # 1: that was the same task
    SINCE_MARK_MS = auto()  # of promote: since the mark; -1: not known
    PAGES = auto()  # 1, or 512: all of them move
    WRITE = auto()  # 1: the access writes
    NODE_TIER = auto()  # 0 is the fastest
    CPU_TIER = auto()
    NODE_SLOW = auto()  # 1: of a tier below all that have CPUs
    FREE = auto()  # frames of cpu_node
    HIGH = auto()  # its high watermark, frames
    MOVE_NS = auto()  # what it costs to move all of them to cpu_node
    NOW_NS = auto()  # when the quantum began
    PREFERRED_NODE = auto()  # numa_preferred_nid; -1: none
    SCAN_SEQ = auto()  # numa_scan_seq of the task
    GROUP = auto()  # numa_group; -1: none
    GROUP_CPU_HERE = auto()  # faults of its group by CPUs of cpu_node, ...
    GROUP_CPU_THERE = auto()  # ... of the page's node, ...
    GROUP_MEMORY_HERE = auto()  # ... on memory of cpu_node, ...
    GROUP_MEMORY_THERE = auto()  # ... and of the page's node
    TIERING = auto()  # 1: balancing.mode is tiering
    SHARED = auto()  # 1: of a shared mapping
    LAZY = auto()  # 1: its range was marked by a call, and Linux asks no filter


class Touch(Columns):
    """What ``first_touch`` is asked about, all int64."""

    PAGE = auto()
    BLOCK = auto()
    TASK = auto()
    PROCESS = auto()
    CPU_NODE = auto()
    PAGES = auto()  # 512: the fault asks for a huge page
    CPU_TIER = auto()
    FREE = auto()
    LOW = auto()  # the low watermark of cpu_node, frames
    NOW_NS = auto()
    SHARED = auto()


class Cold(Columns):
    """What ``demote`` is asked about, all int64."""

    PAGE = auto()  # of the oldest process that may map it; -1: none
    BLOCK = auto()
    PROCESS = auto()
    NODE = auto()
    PAGES = auto()
    NODE_TIER = auto()
    TARGET = auto()  # the node that the kernel would move it to; -1: there is no room
    TARGET_FREE = auto()  # frames
    MAPCOUNT = auto()  # how many entries map it
    NOW_NS = auto()


# --- the answer that waits ------------------------------------------------------------


@inlined
def _is_waiting(row, door, task, at, pfn):
    return (
        row[Asked.DOOR] == door
        and row[Asked.TASK] == task
        and row[Asked.AT] == at
        and row[Asked.PFN] == pfn
    )


@called
def _take_over(m, s, door, task, at, pfn):
    """Take over an answer that a shard left to the barrier; tell if there is one."""
    for i in range(m.info[Info.SHARDS]):
        if _is_waiting(m.asked[i], door, task, at, pfn):
            m.asked[s, Asked.ANSWER] = m.asked[i, Asked.ANSWER]
            m.asked[i, Asked.DOOR] = 0
            return True
    return False


@inlined
def has_answer(m, s, door, task, at, pfn):
    """Tell whether a fault was asked about, and its answer waits in ``m.asked[s]``.

    From now on it is the one that waits: an answer must follow.
    """
    row = m.asked[s]
    if _is_waiting(row, door, task, at, pfn):
        return True
    found = s == m.info[Info.SHARDS] and _take_over(m, s, door, task, at, pfn)
    row[Asked.DOOR], row[Asked.TASK] = door, task
    row[Asked.AT], row[Asked.PFN] = at, pfn
    return found


@inlined
def forget_answer(m, s):
    """Forget the answer: the fault is served."""
    m.asked[s, Asked.DOOR] = 0


@inlined
def may_ask(m, s, door):
    """Tell whether there is a user's function that has raised no exception here.

    Otherwise the arguments stay, by which the engine learns what it raised.
    """
    return m.door[door] != 0 and m.asked[s, Asked.STATUS] == 0


@inlined
def ask(m, s, door):
    """Call a user's function with the arguments that are in ``m.asked[s]``."""
    row = m.asked[s]
    row[Asked.RUNNING] = door
    answer = call_words(m.door[door], row, m.own)
    row[Asked.RUNNING] = 0
    if answer > FAILED:
        return answer
    row[Asked.RAISED] = door
    return DEFAULT


# --- nodes ----------------------------------------------------------------------------


@inlined
def allowed_nodes(m, task, v):
    """Return the mask of nodes to which the policy of a VMA holds its pages."""
    mode, mask, _ = policy_of(m, task, v)
    if mode == Mode.DEFAULT or mode == Mode.LOCAL or mode == Mode.PREFERRED:
        return ALL_NODES
    return mask


@inlined
def is_node(m, nid, mask):
    """Tell whether an answer is a node that has memory, is online and in a mask."""
    if nid < 0 or nid >= m.node.shape[0] or not in_mask(mask, nid):
        return False
    return m.node[nid, Node.ONLINE] == 1 and m.node[nid, Node.SPAN] > 0


@inlined
def refusal_of(answer):
    """Return the Refusal of an answer that is no node."""
    refusal = REFUSED - answer
    return refusal if 0 <= refusal <= _POLICY_NODE else _POLICY


# --- first touch ----------------------------------------------------------------------


@inlined
def _begins_with_cpu(mode, row):
    """Tell whether a policy begins with the node of the CPU: then a user's is asked."""
    if mode == Mode.BIND or mode == Mode.PREFERRED_MANY:
        return row == 0
    return mode == Mode.DEFAULT or mode == Mode.LOCAL


@inlined
def _describe_touch(m, s, task, at, v, pages):
    row, cpu_nid = m.asked[s], m.task[task, Task.NID]
    first = Asked.ARGUMENTS
    row[first + Touch.PAGE] = at
    row[first + Touch.BLOCK] = at >> HPAGE_PMD_ORDER
    row[first + Touch.TASK] = m.task[task, Task.OWNER]
    row[first + Touch.PROCESS] = m.task[task, Task.MM]
    row[first + Touch.CPU_NODE] = cpu_nid
    row[first + Touch.PAGES] = pages
    row[first + Touch.CPU_TIER] = m.node[cpu_nid, Node.TIER]
    row[first + Touch.FREE] = m.node[cpu_nid, Node.FREE]
    row[first + Touch.LOW] = m.node[cpu_nid, Node.LOW]
    row[first + Touch.NOW_NS] = m.info[Info.NOW_MS] * MS
    row[first + Touch.SHARED] = m.vma[v, Vma.SHARED]


@called
def _asked_base(m, s, task, at, v, pages, base, mask):
    """Return the node whose zonelist is used, which a user's policy says."""
    if has_answer(m, s, _TOUCH, task, at, NONE):
        return m.asked[s, Asked.ANSWER]
    _describe_touch(m, s, task, at, v, pages)
    # Another function's arguments are there no longer.
    m.asked[s, Asked.FILLED] = 0
    answer = ask(m, s, _TOUCH)
    if answer >= 0 and not is_node(m, answer, mask):
        m.refused[s, _POLICY_NODE] += pages
        answer = base
    m.asked[s, Asked.ANSWER] = answer if answer >= 0 else base
    return m.asked[s, Asked.ANSWER]


@inlined
def touched_base(m, s, task, at, v, policy, pages, base, mask):
    """Return the node whose zonelist a new page is taken from.

    policy      row of the VMA, or of the part of its object, that has the policy
    base, mask  what that says (``zonelist_of``)
    """
    if not may_ask(m, s, _TOUCH):
        return base
    mode, _, row = policy_of(m, task, policy)
    if not _begins_with_cpu(mode, row):
        return base
    return _asked_base(m, s, task, at, v, pages, base, mask)


@inlined
def base_of_answer(m, s, base):
    """Return the node of a first touch that found no memory; ``base``: nobody asked."""
    if m.asked[s, Asked.DOOR] == _TOUCH:
        return m.asked[s, Asked.ANSWER]
    return base
