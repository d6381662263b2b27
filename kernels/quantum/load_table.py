"""The table of workloads: a row a task, from which its accesses are made."""

from enum import IntEnum, auto

from ..state import Columns


class LoadKind(IntEnum):
    """Kinds of workload."""

    SWEEP = 0
    UNIFORM = 1
    ZIPF = 2
    HOTCOLD = 3
    STREAM = 4
    STENCIL = 5
    TRACE = 6
    OWN = 7  # a user's own function (``own_accesses.py``)


class Load(Columns):
    """Columns of the table of workloads, int64[tasks, len(Load)]."""

    KIND = auto()
    FIRST = auto()  # vpn
    PAGES = auto()
    WRITE = auto()  # writes in 2048 accesses
    KEY = auto()  # bits of the stream's key
    A = auto()  # parameters of the kind
    B = auto()
    C = auto()
    D = auto()
    MOVED = auto()  # pages by which simulated time has moved the hot set
