"""What works beside the tasks: woken when a quantum is over, or while nothing runs.

A daemon is an object with ``wakes_ns`` and ``wake``.  May import state and what is
below it.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..simulation import Simulation

#: A time that never comes, ns.
NEVER = 1 << 62


class Daemon(Protocol):
    """One daemon of a simulation."""

    @property
    def wakes_ns(self) -> int:
        """The simulated time from which on it is due to be woken; or NEVER."""

    def wake(self, simulation: "Simulation") -> None:
        """Do what is due by ``simulation.now``."""


def wake_due(simulation: "Simulation") -> None:
    """Wake the daemons that are due, in their order."""
    for daemon in list(simulation.daemons):
        if daemon.wakes_ns <= simulation.now:
            daemon.wake(simulation)


def next_wake(simulation: "Simulation") -> int:
    """Return when the next daemon is due, ns."""
    return min(daemon.wakes_ns for daemon in simulation.daemons)


def quantum_ns(simulation: "Simulation") -> int:
    """Return how long the next quantum may be: up to the next wake of a user's daemon.

    Those of the kernel wait for its end, as ticks do.
    """
    longest = simulation.settings.quantum_ns
    if not simulation.user_daemons:
        return longest
    left = min(one.wakes_ns for one in simulation.user_daemons) - simulation.now
    if longest < left < 2 * longest:
        return (left + 1) // 2  # or a short one would be left
    return max(1, min(longest, left))
