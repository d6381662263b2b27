"""Words of the table of locks: scopes, modes, and units of its integers.

They stand apart so that settings can name them without compiling kernels.
"""

from enum import IntEnum
from typing import Final


class Scope(IntEnum):
    """What there is one lock of: the machine, a node, a process, a page table ..."""

    #: No lock at all.
    NONE = 0
    GLOBAL = 1
    #: The node of the task's CPU.
    NODE = 2
    MM = 3
    #: The root of anonymous memory: a process and its relatives by fork.
    ANON_VMA = 4
    #: A page table, and a page, that any task of the process is as likely to use.
    PAGE_TABLE = 5
    FOLIO = 6


#: How a lock is held: shared with other readers, or alone.
READ, WRITE = 0, 1
#: Millionths, and picoseconds in a ns.
PPM: Final = 1_000_000
PS: Final = 1000
