"""CPU numbers of a machine, which may have holes, and CPUs that it lacks."""

from collections.abc import Iterable

import numpy as np

from .firmware import warn
from .machine import Machine


class Cpus:
    """The CPUs of a machine for the CPUs of a recording, of which it may lack some.

    Warns, once, when it lacks one.
    """

    def __init__(self, machine: Machine) -> None:
        self._name, self._there = machine.name, np.flatnonzero(machine.cpu_node >= 0)
        self._known = {cpu: cpu for cpu in self._there.tolist()}
        self._complete = True

    def of(self, number: int) -> int:
        """Return a recorded CPU if the machine has it, otherwise the one of its rank.

        Ranks go through the CPUs that there are, in order, and begin again.
        """
        if number not in self._known:
            self._known[number] = self.nth(number)
            if self._complete:
                warn(
                    f"CPUs of the trace should be of {self._name}, whose"
                    f" {len(self._there)} are {ranges(self._there)}, got CPU {number}:"
                    f" it is taken to be CPU {self._known[number]}, and so on by rank"
                )
            self._complete = False
        return self._known[number]

    def nth(self, rank: int) -> int:
        """Return the CPU of a rank."""
        return int(self._there[rank % len(self._there)])


def ranges(numbers: Iterable[int]) -> str:
    """Return rising numbers as a list such as ``0-3,8``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
