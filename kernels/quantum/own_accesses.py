"""Accesses that a user's own function makes: one call by address for each chunk.

The called function holds the loop and writes the access words itself, so that the
user's code is inlined into it (``engine/doors/generator.py``).
"""

from enum import auto

from ..jit.arrays import from_start
from ..jit.by_address import call_words
from ..jit.compile import inlined
from ..state import Columns
from .load_table import Load


class Call(Columns):
    """Columns of ``Work.calls``, int64[chunks, len(Call)]: what a call reads.

    The first ones are those of every user's function (``engine/doors``).
    """

    STATUS = auto()  # what was refused in this quantum, 0: nothing
    RUNNING = auto()  # the task whose function is running + 1, or 0
    ROW = auto()  # 0
    SPARE = auto()
    #: What the user's function gets of its first access; of the refused one, later.
    TASK = auto()
    NUMBER = auto()
    KEY = auto()
    PAGES = auto()
    NOW = auto()  # ns, of the quantum's start
    RUN = auto()  # ns since the run began
    #: Where accesses go, how many there are, and what all their words have.
    AT = auto()
    COUNT = auto()
    BITS = auto()
    #: The layout: its address, its items, and 0.
    LAYOUT = auto()
    ITEMS = auto()
    STRIDE = auto()
    #: What the user's function returned, of the first access that was refused.
    WRONG_PAGE = auto()
    WRONG_REFS = auto()


@inlined
def lay_own(load, own, t, i, bits, first, end, call):
    """Lay out accesses [first, end) of a user's function, from number ``i`` on.

    own    int64[tasks, ..]  what the functions read
    call   int64[len(Call)]  of the chunk
    """
    if call[Call.STATUS]:
        return
    call[Call.TASK], call[Call.NUMBER] = t, i
    call[Call.KEY], call[Call.PAGES] = load[t, Load.KEY], load[t, Load.PAGES]
    call[Call.NOW], call[Call.RUN] = load[t, Load.B], load[t, Load.C]
    call[Call.AT], call[Call.COUNT] = first, end - first
    call[Call.BITS] = bits + load[t, Load.FIRST]
    call[Call.RUNNING] = t + 1
    call_words(load[t, Load.A], call, from_start(own[t]))
    call[Call.RUNNING] = 0
