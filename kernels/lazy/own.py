"""A design of lazy migration from outside the package: its verbs, called by address.

``engine/doors/lazy_design.py`` compiles them.  A verb gets the state and a row of
words.  A row of faults is served one by one.
"""

from enum import IntEnum
from typing import Final

from ..jit.by_address import call_memory
from ..jit.compile import called, inlined
from ..state import NO_MEMORY, PUT_ASIDE, SEGV, SERVED, Info


class Verb(IntEnum):
    """Columns of ``Memory.verbs``: what a design of one's own does."""

    MARK = 0
    FAULT = 1
    FORK = 2
    ZAP = 3
    RECLAIM = 4


class Status(IntEnum):
    """What a verb did wrong: the first of its words, which stay as they are."""

    RAISED = 1
    #: A fault that was served left the PTE as it was.
    LEFT = 2
    #: A fault came to something else than a fault can.
    UNKNOWN = 3


#: The words of a verb: its status; 1 + the Verb that runs, or has failed; arguments.
STATUS: Final = 0
VERB: Final = 1
ARGUMENTS: Final = 2
ARGUMENTS_MAX: Final = 6
#: Words of a row: a cache line.
VERB_WORDS: Final = ARGUMENTS + ARGUMENTS_MAX
#: What a verb comes to that raised an exception.
FAILED: Final = -(1 << 62)


@called
def _ask(m, s, verb, arguments):
    """Return what a verb comes to; none is asked any more once one has failed."""
    words = m.verb_words[s]
    if words[STATUS]:
        return FAILED
    words[VERB] = verb + 1
    for i in range(ARGUMENTS_MAX):
        words[ARGUMENTS + i] = arguments[i]
    result = call_memory(m.verbs[verb], m, words)
    if words[STATUS] == 0:
        words[VERB] = 0
    return result


@inlined
def mark(m, pfn):
    """Park one page; return 1, or 0 if it is refused."""
    s = m.info[Info.SHARDS]
    return 1 if _ask(m, s, Verb.MARK, (pfn, 0, 0, 0, 0, 0)) > 0 else 0


@inlined
def faults(m, s, k, run):
    """Serve no row: every fault is served by itself."""
    return k


@inlined
def fault(m, s, task, at, v, vpn, write):
    """Serve a fault on a parked page; SEGV: the verb did something wrong."""
    pte = m.pte[at]
    status = _ask(m, s, Verb.FAULT, (s, task, at, v, vpn, int(write)))
    if status == NO_MEMORY or status == PUT_ASIDE:
        return status
    words = m.verb_words[s]
    if status == SERVED and m.pte[at] != pte:
        return SERVED
    if words[STATUS] == 0:
        words[STATUS] = Status.LEFT if status == SERVED else Status.UNKNOWN
        words[VERB] = Verb.FAULT + 1
    return SEGV


@inlined
def fork(m, s, pte):
    """Note that a child's PTE holds what its parent's does."""
    _ask(m, s, Verb.FORK, (s, pte, 0, 0, 0, 0))


@inlined
def zap(m, s, pte, vpn, exiting):
    """Release what a parked PTE held; return 1 if its page is lost."""
    return 1 if _ask(m, s, Verb.ZAP, (s, pte, vpn, int(exiting), 0, 0)) > 0 else 0


@inlined
def reclaim(m, n, pfn):
    """Put a page into the swap cache; return 0 if it finds no slot."""
    s = m.info[Info.SHARDS]
    return 1 if _ask(m, s, Verb.RECLAIM, (n, pfn, 0, 0, 0, 0)) > 0 else 0
