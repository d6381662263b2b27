"""What users' daemons know: attributes, kept and put back into the same objects."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..daemons.user_daemon import UserDaemon, attributes, place
from ..errors import BadScenario
from .plain import told, untold

if TYPE_CHECKING:
    from ..simulation import Simulation

#: (times woken, busy until, whether a quantum is owed, attributes as JSON or None).
Kept = tuple[int, int, bool, dict[str, Any] | None]


def state_of(one: UserDaemon) -> Kept:
    """Return the state of a daemon, as JSON knows it; attributes once it has worked.

    Raises BadScenario for an attribute that changes and that no file can hold.
    """
    if one.kept is None or one.kept[0] != one.woken:
        one.kept = one.woken, _attributes(one) if one.woken else None
    return one.woken, one.busy_ns, one.owed, one.kept[1]


def _attributes(one: UserDaemon) -> dict[str, Any]:
    found = {}
    for name, value in attributes(one.mine).items():
        try:
            found[name] = told(value)
        except BadScenario as error:
            # Functions, and what else it was given and does not replace.
            if one.given.get(name) is not value:
                kind = f"{type(value).__module__}.{type(value).__name__}"
                raise BadScenario(
                    f"{place(one.mine)} must keep numbers, texts, arrays, and lists and"
                    f" dicts of them, for checkpoints, got {kind} in {name}"
                ) from error
    return found


def put_back(
    one: UserDaemon, kept: tuple[int, int, bool, Mapping], simulation: "Simulation"
) -> None:
    """Give a daemon the state that ``state_of`` told."""
    one.woken, one.busy_ns, one.owed, values = kept
    for name, value in (values or {}).items():
        setattr(one.mine, name, untold(value, simulation))
