"""Rows by which kernels call what users wrote: which function, with which arguments."""

from enum import auto
from typing import Final

from .state import Columns

#: What a user's function returns that has raised an exception; it is not called again.
FAILED: Final = -(1 << 62)


class Door(Columns):
    """Columns of ``Memory.door``, int64[len(Door)]: addresses of users' functions.

    0: there is none, and the kernel decides.
    """

    ANY = auto()  # 1: there is one of the others
    HINT_FAULT = auto()
    PROMOTE = auto()
    FIRST_TOUCH = auto()
    DEMOTE = auto()


class Asked(Columns):
    """Columns of ``Memory.asked``, int64[S + 1, ASKED_WIDTH]."""

    STATUS = auto()  # 1: the function raised an exception, with these arguments
    RUNNING = auto()  # Door of the function that runs, 0: none
    ROW = auto()  # the shard: of arrays that are folded
    FILLED = auto()  # Door whose arguments are there, of a task and a node; 0: none
    ARGUMENTS = auto()  # the first of them, 32 at most
    # The last answer, if it waits for its fault to be served (placement/asked.py).
    DOOR = 36
    TASK = auto()
    AT = auto()
    PFN = auto()
    ANSWER = auto()
    RAISED = auto()  # Door of the function that raised
    # What the arguments are filled in for: rows of tables.
    FOR_TASK = auto()
    FOR_NODE = auto()
    FOR_PAGES = auto()


#: Six cache lines.
ASKED_WIDTH: Final = 48
