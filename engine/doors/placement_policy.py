"""A placement policy of a user's file: what it is asked, and the functions it has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...kernels.doors import Columns, Door
from ...kernels.placement.asked import Cold, Fault, Touch
from ..errors import BadInput
from .own_array import Own, check_arrays
from .user_function import Role, UserFunction, check_function, compiled

_NODE: Final = "a node's number, STAY, DEFAULT or stay(Refusal.REASON)"


def _role(name: str, argument: str, columns: type[Columns], returns: str) -> Role:
    fields = tuple(one.name.lower() for one in columns)
    return Role(name, (argument, "mine"), fields, returns)


#: The functions that a policy may have, by how kernels know them.
ROLES: Final = {
    Door.HINT_FAULT: _role("hint_fault", "fault", Fault, _NODE),
    Door.PROMOTE: _role("promote", "fault", Fault, _NODE),
    Door.FIRST_TOUCH: _role(
        "first_touch", "touch", Touch, "a node's number or DEFAULT"
    ),
    Door.DEMOTE: _role("demote", "cold", Cold, "a node's number, STAY or DEFAULT"),
}


@dataclass(frozen=True)
class PlacementPolicy:
    """Functions that decide where pages go, in place of Linux's rules.

    Each is compiled by Numba, gets a tuple of int64 and ``mine``, a tuple of the
    policy's own arrays, and returns the number of a node or one of ``STAY``,
    ``DEFAULT`` and ``stay(Refusal.REASON)``.  ``docs/model/own_policy.md`` has every
    field of the tuples.

    hint_fault   (fault, mine): of a hint fault, in place of should_numa_migrate_memory
                 (kernel/sched/fair.c, 6.12)
    promote      (fault, mine): the same of a page of a slow node with
                 ``balancing.mode=tiering``
    first_touch  (touch, mine): the node that a new page is looked for first
    demote       (cold, mine): the node to which reclaim moves a page
    arrays       ``Own`` arrays of all of them

    Raises BadInput if there is no function, or one is not what it must be; what Numba
    cannot compile is found before the first run.
    """

    hint_fault: Callable | None = None
    first_touch: Callable | None = None
    promote: Callable | None = None
    demote: Callable | None = None
    arrays: tuple[Own, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", check_arrays(self.arrays))
        given = self._given()
        if not given:
            names = ", ".join(role.name for role in ROLES.values())
            raise BadInput(f"policy must have one of {names}, got none")
        for door, function in given.items():
            check_function(function, ROLES[door])

    def _given(self) -> dict[Door, Callable]:
        functions = {door: getattr(self, role.name) for door, role in ROLES.items()}
        return {door: one for door, one in functions.items() if one is not None}

    def compiled(self) -> dict[Door, UserFunction]:
        """Return the functions as kernels call them; raise BadInput if one is wrong."""
        return {
            door: compiled(function, ROLES[door], self.arrays)
            for door, function in self._given().items()
        }
