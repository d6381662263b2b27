"""The kernels' tables follow the objects that they are made from, and daemons time."""

import re
from pathlib import Path

import pytest

from lazynuma import engine
from lazynuma.engine import (
    Balancing,
    Mechanism,
    Mode,
    Policy,
    Settings,
    Simulation,
    Sweep,
    Thp,
    uniform,
)
from lazynuma.kernels.counters import Vm
from lazynuma.kernels.state import Mm, Task
from lazynuma.kernels.state import Vma as Row

MIB = 1 << 20
BIND = Policy(Mode.BIND, (1,))


@pytest.fixture
def simulation():
    """A simulation of two nodes."""
    return Simulation(uniform(2, 64 * MIB), Settings(thp=Thp(enabled="never")))


def rows(simulation, process):
    """Return what the table of VMAs says of a process."""
    memory = simulation.memory
    first, end = memory.mm[process.id, [Mm.FIRST_VMA, Mm.END_VMA]]
    names = [Row.START, Row.END, Row.READ, Row.WRITE, Row.MOF, Row.MODE, Row.ADVICE]
    return memory.vma[first:end, names].tolist()


def objects(process):
    """Return the same of its VMAs."""
    return [
        [vma.start, vma.end, vma.read, vma.write, vma.mof, vma.policy.mode, vma.advice]
        for vma in process.vmas
    ]


CALLS = {
    "munmap": lambda one, task, region: one.munmap(task, region, 5, 6),
    "mprotect": lambda one, task, region: one.mprotect(task, region, "r", 5, 6),
    "advise": lambda one, task, region: one.advise(task, region, "hugepage", 5, 6),
    "mbind": lambda one, task, region: one.mbind(task, region, BIND, first=5, pages=6),
    "mark": lambda one, task, region: one.mark(
        task, region, Mechanism.HINTING, BIND, first=5, pages=6
    ),
    "mmap": lambda one, task, region: one.mmap(region.process, MIB, shared=True),
    "exit": lambda one, task, region: one.exit(region.process),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_table_of_vmas_follows_calls(simulation, call):
    process = simulation.spawn(nbytes=16 * MIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, MIB)
    simulation.populate(task, region)
    before = rows(simulation, process)
    CALLS[call](simulation, task, region)
    assert rows(simulation, process) == objects(process) != before


def test_the_table_of_tasks_follows_policies(simulation):
    task = simulation.start_task(simulation.spawn(nbytes=16 * MIB), 0)
    simulation.set_mempolicy(task, BIND)
    assert simulation.memory.task[task.id, Task.MODE] == Mode.BIND


def test_a_policy_of_shared_memory_reaches_its_rows(simulation):
    process = simulation.spawn(nbytes=16 * MIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, MIB, shared=True)
    simulation.mbind(task, region, BIND, first=5, pages=6)
    (made,) = simulation.objects
    table = simulation.memory.vma[made.row : made.row + 3, Row.MODE]
    assert table.tolist() == [Mode.DEFAULT, Mode.BIND, Mode.DEFAULT]


def test_tables_are_marked_stale_where_objects_change_and_nowhere_else():
    sources = Path(engine.__file__).parent.rglob("*.py")
    marks = re.compile(r"\.stale\b.* = .*True")
    marking = [path.name for path in sources if marks.search(path.read_text())]
    assert sorted(marking) == ["anon_vma.py", "process.py", "world.py"]


def test_reading_counters_changes_nothing(simulation):
    process = simulation.spawn(nbytes=16 * MIB)
    task = simulation.start_task(process, 0)
    simulation.populate(task, simulation.mmap(process, MIB))
    before = simulation.memory.vm.copy()
    read = simulation.counters()
    assert (simulation.memory.vm == before).all() and before.any()
    simulation.fold_counters()
    assert not simulation.memory.vm.any()
    assert (simulation.counters() == read).all()
    assert simulation.total("pgfault") == read[:, Vm.PGFAULT].sum() == 256


class Alarm:
    """A daemon that wakes up every millisecond of simulated time."""

    def __init__(self):
        self.wakes_ns, self.woken = 1_000_000, []

    def wake(self, simulation):
        """Note the time."""
        self.woken.append(simulation.now)
        self.wakes_ns = simulation.now + 1_000_000


def test_daemons_are_woken_in_idle_time_when_they_are_due(simulation):
    alarm = Alarm()
    simulation.daemons.append(alarm)
    simulation.idle(3_500_000)
    assert alarm.woken == [1_000_000, 2_000_000, 3_000_000]


def test_daemons_are_woken_after_quanta():
    settings = Settings(quantum_ns=100_000, balancing=Balancing(mode="normal"))
    simulation, alarm = Simulation(uniform(2, 64 * MIB), settings), Alarm()
    simulation.daemons.append(alarm)
    process = simulation.spawn(nbytes=16 * MIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, MIB)
    simulation.run([Sweep(task=task, region=region, count=50_000)])
    assert len(alarm.woken) > 2
    assert all(at >= (i + 1) * 1_000_000 for i, at in enumerate(alarm.woken))


def test_calls_explain_themselves():
    assert Simulation.mmap.__doc__.startswith("Map anonymous memory")
    assert Simulation.slots_peak.__doc__.startswith("Most swap slots")
