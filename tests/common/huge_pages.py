"""A small machine with huge pages, and what its tests do again and again."""

from itertools import groupby

from lazynuma.engine import Mode, Policy, Settings, Simulation, Sweep, Thp, uniform
from lazynuma.engine.machines.machine import from_slit
from lazynuma.kernels.counters import Refusal, Vm

PAGE, BLOCK = 4096, 512
HUGE = BLOCK * PAGE
#: Huge pages wherever they fit.
ALWAYS = Thp(enabled="always")
#: What the recordings compare, of what the engine counts.
RECORDED = (
    "thp_fault_alloc thp_fault_fallback thp_collapse_alloc thp_collapse_alloc_failed"
    " thp_split_page thp_deferred_split_page thp_split_pmd thp_migration_success"
    " thp_migration_fail thp_migration_split thp_swpout thp_swpout_fallback pswpin"
    " pswpout oom_kill pgmigrate_fail"
).split()


class World:
    """A machine that serves accesses one by one, a process and its task on CPU 0."""

    def __init__(self, nodes=2, blocks=16, thp=ALWAYS, slit=None, **options):
        machine = uniform(nodes, blocks * HUGE)
        if slit is not None:
            sizes = (blocks * HUGE,) * len(slit)
            ones = (1,) * len(slit)
            machine = from_slit("slit", sizes, ones, slit, (0,) * len(slit))
        settings = Settings(sequential=True, thp=thp, **options)
        self.sim = Simulation(machine, settings)
        self.process = self.sim.spawn(nbytes=128 * HUGE)
        self.task = self.sim.start_task(self.process, 0)
        self._seen = self.sim.counters()

    def map(self, pages, advice="none", process=None):
        """Return a new region, advised."""
        region = self.sim.mmap(process or self.process, pages * PAGE)
        if advice != "none":
            self.sim.advise(self.task, region, advice)
        return region

    def touch(self, region, first=0, pages=1, write=True, stride=1, cpu=None, by=None):
        """Access every ``stride``-th page of a range once, on a CPU, by a task."""
        task = by or self.task
        if cpu is not None:
            self.sim.move_task(task, cpu)
        part = {"first": first, "pages": pages, "count": -(-pages // stride)}
        region = region.of(task.process)
        load = Sweep(task=task, region=region, stride=stride, write=write, **part)
        self.sim.run([load])

    def page(self, region, page, process=None):
        """Return what a page of a region is."""
        return self.sim.page(process or region.process, region.first + page)

    def runs(self, region, first=0, pages=None, process=None):
        """Return [(pages, state, node, huge)] of a range, as the recordings have it."""
        end = region.pages if pages is None else first + pages
        seen = (_seen(self.page(region, at, process)) for at in range(first, end))
        return [(len(list(same)), *what) for what, same in groupby(seen)]

    def changes(self, *names):
        """Return {name: change} of counters since the last call; no name: recorded."""
        now = self.sim.counters()
        moved = (now - self._seen).sum(axis=0)
        self._seen = now
        found = {name: int(moved[Vm[name.upper()]]) for name in names or RECORDED}
        return found if names else {name: n for name, n in found.items() if n}

    def refused(self):
        """Return {name: times} of what was refused so far."""
        refused = self.sim.refusals()
        return {one.name: int(refused[one]) for one in Refusal if refused[one]}

    def fragment(self, kept, blocks=16, node=0):
        """Leave ``kept`` small pages in each block of a node, and 200 in the last."""
        filler = self.map(blocks * BLOCK, "nohugepage")
        self.sim.mbind(self.task, filler, Policy(Mode.BIND, (node,)))
        self.touch(filler, 0, (blocks - 1) * BLOCK + 200)
        for block in range(blocks - 1):
            at = block * BLOCK + kept
            self.sim.munmap(self.task, filler, at, BLOCK - kept)
        self.sim.check()
        self.changes()
        return filler


def _seen(page):
    """Return (state, node, huge) of a page, as a recording shows it."""
    if page.kind == "present" and page.protnone:
        return "marked", None, page.huge
    if page.kind == "present":
        return "present", page.node, page.huge
    return page.kind, None, False


def times(world):
    """Return the ns of the first process by cause."""
    return world.sim.times(world.process)


# --- migration ------------------------------------------------------------------------


def bind_and_move(world, region, node, **part):
    policy = Policy(Mode.BIND, (node,))
    return world.sim.mbind(world.task, region, policy, move=True, **part)


def move_pages(world, region, node, **part):
    world.sim.move_pages(world.task, region, node, **part)


def migrate_pages(world, region, node):
    world.sim.migrate_pages(world.task, [1 - node], [node])


# --- what Linux 6.1 did ---------------------------------------------------------------


#: SLIT of the machine of the recordings.
SLIT = ((10, 16, 22, 22), (16, 10, 22, 22), (22, 22, 10, 16), (22, 22, 16, 10))


def linux(**options):
    """Return the recordings' machine: four nodes, THP defrag ``always``."""
    thp = Thp(enabled="always", defrag="always")
    return World(blocks=32, slit=SLIT, thp=thp, **options)
