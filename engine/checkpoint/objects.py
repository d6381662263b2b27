"""What callers hold of a simulation: its processes, tasks, shared objects, and numbers.

Their values are kept, and put back into the same objects: who holds one sees it change.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..state.process import Process, Shmem, Task, Vma
from .kept_daemons import put_back, state_of
from .plain import told, untold

if TYPE_CHECKING:
    from ..simulation import Simulation

#: The lists of a simulation that hold objects, what they hold, and what numbers them;
#: what is before another is what the other refers to.
LISTS: dict[str, tuple[type, str]] = {
    "objects": (Shmem, "ino"),
    "processes": (Process, "id"),
    "tasks": (Task, "id"),
}
#: Numbers of a simulation that are its user's, not its state.
_GIVEN = ("seed", "threads", "batch")
_FIELDS = {
    kind: [one.name for one in fields(kind) if one.name != "tables"]
    for kind, _ in LISTS.values()
}
_VMA = [one.name for one in fields(Vma)]

#: {list: {number: values}}; of "", {name: value} of the simulation's own numbers; of
#: "order", {list: its objects' numbers} of lists from which objects are taken away; of
#: "daemons", {number: state} of users' daemons.
Values = dict[str, dict[Any, Any]]


def values_of(simulation: "Simulation") -> Values:
    """Return the values of all objects and numbers, as they are now."""
    found: Values = {
        name: {getattr(one, number): _values(one) for one in getattr(simulation, name)}
        for name, (_, number) in LISTS.items()
    }
    found["daemons"] = {
        i: state_of(one) for i, one in enumerate(simulation.user_daemons)
    }
    found["order"] = {"objects": tuple(found["objects"])}
    found[""] = {
        name: value
        for name, value in vars(simulation).items()
        if type(value) in (int, bool) and name not in _GIVEN
    }
    return found


def _values(one: Any) -> list:
    """Return the values of an object's fields; VMAs are lists of their own values."""
    values = [getattr(one, name) for name in _FIELDS[type(one)]]
    return [
        [[getattr(vma, name) for name in _VMA] for vma in value]
        if type(value) is list
        else value
        for value in values
    ]


def changed(before: Values, now: Values) -> Any:
    """Return what is not as it was before, as JSON; nothing where all is."""
    found = {
        name: [
            [key, _difference(before[name].get(key), value)]
            for key, value in values.items()
            if before[name].get(key) != value
        ]
        for name, values in now.items()
    }
    return {name: values for name, values in found.items() if values}


def _difference(before: Any, now: Any) -> Any:
    """Return what a value is now, as JSON: of VMAs only those that have changed."""
    if type(now) is not list:
        return now
    before = before or [[]] * len(now)
    return [
        _middle(old, new) if type(new) is list else told(new)
        for old, new in zip(before, now, strict=True)
    ]


def _middle(before: list, now: list) -> list:
    """Return [items left at the start, items left at the end, the new ones between]."""
    most = min(len(before), len(now))
    front = 0
    while front < most and before[front] == now[front]:
        front += 1
    back = 0
    while back < most - front and before[-1 - back] == now[-1 - back]:
        back += 1
    return [front, back, told(now[front : len(now) - back])]


def put(simulation: "Simulation", changes: Any) -> None:
    """Give objects and numbers of a simulation what ``changed`` says; make new objects.

    Raises one of ``WRONG`` if it says anything else.
    """
    for name, value in changes.get("", []):
        if type(getattr(simulation, name)) is not type(value) or name in _GIVEN:
            raise LookupError(name)
        setattr(simulation, name, value)
    for name, (kind, number) in LISTS.items():
        there = {getattr(one, number): one for one in getattr(simulation, name)}
        for key, values in changes.get(name, []):
            if key not in there:
                there[key] = _new(kind, simulation)
                getattr(simulation, name).append(there[key])
            _fill(there[key], untold(values, simulation))
    for name, numbers in changes.get("order", []):
        kind, number = LISTS[name]
        there = {getattr(one, number): one for one in getattr(simulation, name)}
        setattr(simulation, name, [there[key] for key in numbers])
    for key, kept in changes.get("daemons", []):
        put_back(simulation.user_daemons[key], kept, simulation)


def _new(kind: type, simulation: "Simulation") -> Any:
    """Return an object that has no values yet but what it shares with others."""
    made: Any = object.__new__(kind)
    made.tables = simulation.tables
    return made


def _fill(one: Any, values: Iterable[Any]) -> None:
    for name, value in zip(_FIELDS[type(one)], values, strict=True):
        if name == "vmas":
            value = _joined(getattr(one, name, []), *value)
        setattr(one, name, value)


def _joined(old: list[Vma], front: int, back: int, parts: list) -> list[Vma]:
    """Return VMAs with other ones between some that are left at both ends."""
    if not 0 <= front <= front + back <= len(old):
        raise LookupError(f"{front} and {back} of {len(old)} VMAs")
    middle = [Vma(*values) for values in parts]
    return [*old[:front], *middle, *old[len(old) - back :]]
