"""When a task's first sample is: tasks that begin together must not be sampled so.

``docs/model/samples.md`` 1.
"""

from ...kernels import state as st
from ...kernels.draws import draw_of
from .world import World

#: The stream of draws; those of workloads have lower numbers.
_STREAM = 1 << 62


def set_first_sample(world: World, number: int) -> None:
    """Set how many accesses a task makes before its next sample, as drawn."""
    period = world.settings.sampling.period
    if period:
        first = int(draw_of(world.seed, _STREAM, number)) % period
        world.memory.task[number, st.Task.NEXT_SAMPLE] = first


def change_period(world: World, before: int) -> None:
    """Let all tasks begin anew if the period is not what it was ``before``."""
    if world.settings.sampling.period != before:
        for task in world.tasks:
            set_first_sample(world, task.id)
