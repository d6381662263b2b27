"""Examples worked by hand of the two lazy mechanisms that no Linux has.

``lazy_examples/README.md`` says what a line of an example means.
"""

from pathlib import Path

import pytest

from lazynuma.engine import (
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    uniform,
)
from lazynuma.kernels.counters import Refusal, Vm
from reference import Reference

EXAMPLES = sorted(Path(__file__).with_name("lazy_examples").glob("*.example"))
BLOCK = 2 << 20


class Player:
    """Plays the lines of one example on one implementation."""

    def __init__(self, implementation) -> None:
        self.implementation = implementation
        self.processes, self.tasks, self.regions = {}, {}, {}

    def play(self, line: str) -> None:
        """Do one line; AssertionError where it expects something else."""
        words, _, result = line.partition("->")
        name, *rest = words.split()
        options = dict(word.split("=") for word in rest if "=" in word)
        got = getattr(self, name)(*(w for w in rest if "=" not in w), **options)
        if result:
            assert got == int(result), f"returned {got}"

    def machine(self, nodes, blocks, swap, wedge="0"):
        """Set up the machine."""
        machine = uniform(int(nodes), int(blocks) * BLOCK)
        settings = Settings(
            sequential=True, swap_bytes=int(swap) * 4096, wedge_ppm=int(wedge)
        )
        self.sim = self.implementation(machine, settings)

    def process(self, name):
        """Start a process."""
        self.processes[name] = self.sim.spawn(name, 64 * BLOCK)

    def task(self, name, process, cpu):
        """Start a task."""
        self.tasks[name] = self.sim.start_task(self.processes[process], int(cpu))

    def cpu(self, task, cpu):
        """Move a task."""
        self.sim.move_task(self.tasks[task], int(cpu))

    def map(self, process, name, pages):
        """Map a region."""
        process = self.processes[process]
        self.regions[name] = self.sim.mmap(process, int(pages) * 4096, name)

    def touch(self, task, region, first, kind, count="1"):
        """Touch pages, one after the other."""
        task = self.tasks[task]
        part = {"first": int(first), "pages": int(count), "count": int(count)}
        write = 1.0 if kind == "w" else 0.0
        region = self.regions[region].of(task.process)
        self.sim.run([Sweep(task=task, region=region, write=write, **part)])

    def mark(self, task, region, mechanism, *flags, bind=None, at="0", pages=None):
        """Mark pages for lazy migration."""
        task = self.tasks[task]
        return self.sim.mark(
            task,
            self.regions[region].of(task.process),
            Mechanism[mechanism.upper()],
            policy=None if bind is None else Policy(Mode.BIND, (int(bind),)),
            move_all="all" in flags,
            first=int(at),
            pages=None if pages is None else int(pages),
        )

    def fork(self, parent, child):
        """Fork a process."""
        self.processes[child] = self.sim.fork(self.processes[parent], child)

    def exit(self, process):
        """End a process."""
        self.sim.exit(self.processes[process])

    def unmap(self, task, region, first, pages):
        """Unmap pages."""
        region = self.regions[region].of(self.tasks[task].process)
        self.sim.munmap(self.tasks[task], region, int(first), int(pages))

    def hot_remove(self, node):
        """Remove a node; return the pages that stay."""
        return self.sim.hot_remove(int(node))

    def expect(self, **wanted):
        """Compare totals."""
        for name, value in wanted.items():
            if name == "dead":
                assert not self.processes[value].alive, f"{value} lives"
                continue
            got = self._total(name)
            assert got == int(value), f"{name} is {got}"

    def _total(self, name):
        if name == "slots":
            return self.sim.slots_in_use
        if name == "entries":
            return self.sim.entries_in_use
        if name.startswith("free"):
            return self.sim.free(int(name[4:]))
        if name in Refusal.__members__:
            return int(self.sim.refusals()[Refusal[name]])
        return int(self.sim.counters()[:, Vm[name.upper()]].sum())

    def page(self, process, region, page, kind, **wanted):
        """Compare one page."""
        process, region = self.processes[process], self.regions[region]
        got = self.sim.page(process, region.first + int(page))
        assert got.kind == kind, f"page is {got}"
        for name, value in wanted.items():
            have = getattr(got, name)
            want = {"none": ""}.get(value, value) if name == "cache" else int(value)
            assert have == want, f"{name} is {have}, of {got}"


def _engine():
    return Simulation


def _reference():
    return Reference


@pytest.mark.parametrize("implementation", [_reference, _engine])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, implementation, request):
    player = Player(implementation())
    for number, text in enumerate(example.read_text().splitlines(), 1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        try:
            player.play(line)
            if hasattr(player, "sim"):
                player.sim.check()
        except AssertionError as error:
            pytest.fail(f"{example.name}:{number}: {line}: {error}")


def test_there_are_enough_examples():
    assert len(EXAMPLES) >= 20
