"""The placement policy of a simulation: its functions, its arrays, what went wrong."""

from typing import TYPE_CHECKING

from ...kernels import state as st
from ...kernels.doors import Asked, Door
from ..doors.running import watch
from ..doors.user_function import failure, where
from ..errors import SimulationError
from .own_arrays import OwnArrays

if TYPE_CHECKING:
    from ..doors.placement_policy import PlacementPolicy


class UserPolicy:
    """The functions that the kernels of one simulation ask.

    own  their arrays
    """

    def __init__(self, policy: "PlacementPolicy", memory: st.Memory) -> None:
        self.functions = policy.compiled()
        shards = int(memory.info[st.Info.SHARDS])
        self.own = OwnArrays(policy.arrays, memory.pte.size, len(memory.node), shards)
        self._asked = memory.asked
        memory.door[Door.ANY] = 1
        for door, function in self.functions.items():
            memory.door[door] = function.address
        watch(self)

    def update(self, memory: st.Memory) -> st.Memory:
        """Return ``memory`` with arrays that have an item for each task."""
        self.own.has_tasks(int(memory.info[st.Info.TASKS]))
        return memory.replace(own=self.own.table)

    def fold(self) -> None:
        """Fold the arrays, and forget what was asked; nothing runs now.

        Raises SimulationError if a function has raised an exception.
        """
        asked = self._asked
        if asked[:, Asked.STATUS].any():
            self._refuse()
        asked[:, Asked.FILLED] = asked[:, Asked.DOOR] = 0
        self.own.fold()

    def _refuse(self) -> None:
        """Say what the first function raised that raised something."""
        words = self._asked[self._asked[:, Asked.STATUS] != 0][0]
        function = self.functions[Door(int(words[Asked.RAISED]))]
        raise SimulationError(failure(function, words, self.own.table))

    def running(self) -> str | None:
        """Return ``FILE.py:LINE: NAME`` of the function that runs now, or None."""
        running = self._asked[:, Asked.RUNNING]
        doors = running[running != 0]
        return (
            where(self.functions[Door(int(doors[0]))].function) if doors.size else None
        )
