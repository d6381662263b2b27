"""A small scenario of a user's own, and a sweep over it that is soon done."""

from pathlib import Path

from lazynuma.scenarios.cli import commands

SCENARIO = '''
"""Is a process that moves to another node better off with its memory marked?"""

from dataclasses import dataclass, field

from lazynuma.engine import Mechanism, Settings, Study, Sweep, Uniform, Variant, preset
from lazynuma.engine import SUMMARY


@dataclass(frozen=True)
class Parameters:
    size: int = field(default=1 << 20, metadata={"kind": "size", "help": "its memory"})
    touches: int = field(default=2, metadata={"help": "accesses to each page"})
    names: tuple[str, ...] = ("none", "hinting")
    bad_seed: int = -1


def build(parameters):
    pages, machine = parameters.size // 4096, preset("2s", 1 << 28)

    def move(simulation, *marks):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, parameters.size)
        simulation.run([Sweep(task=task, region=region, count=pages)])
        if simulation.seed == parameters.bad_seed and parameters.touches == 3:
            raise OSError(28, "No space left on device")
        simulation.move_task(task, cpu=machine.cpus[0])
        for mechanism in marks:
            simulation.mark(task, region, mechanism)
        count = parameters.touches * pages
        simulation.run([Uniform(task=task, region=region, count=count)])

    def hinting(simulation):
        move(simulation, Mechanism.HINTING)

    each, settings = {"none": move, "hinting": hinting}, Settings(epoch_ns=1_000_000)
    variants = [
        Variant(name, machine, settings, each[name], 9 * pages, pages)
        for name in parameters.names
    ]
    return Study(__doc__, "mechanism", tuple(variants), SUMMARY)
'''
GRID = """
scenario = "mine.py"
seeds = [1, 2]
[set]
bad_seed = 2
[grid]
size = ["512KiB", "1MiB"]
touches = [2, 3]
"""


def swept(folder: Path, text: str = GRID, name: str = "out") -> Path:
    """Run a sweep in ``folder``; return the folder of its points."""
    (folder / "mine.py").write_text(SCENARIO)
    (folder / f"{name}.toml").write_text(text)
    commands.main(["sweep", str(folder / f"{name}.toml"), "-o", str(folder / name)])
    return folder / name
