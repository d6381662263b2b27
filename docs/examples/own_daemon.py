"""What does a daemon gain that reads accessed bits and moves what it finds hot?"""

from dataclasses import dataclass, field, replace

from lazynuma import engine as ln


class Hottest:
    """Bring up what was used between two looks, take down what was not for ten."""

    wakes_ns, idle = 0, 0

    def wake(self, simulation):
        (region,) = simulation.regions()
        used, slow = simulation.take_accessed(region), simulation.where(region) == 2
        self.idle = (self.idle + 1) * ~used  # looks since a page was used
        simulation.demote(region, (self.idle >= 10) & ~slow)
        simulation.promote(region, used & slow)
        self.wakes_ns = simulation.now + 500_000_000


@dataclass(frozen=True)
class Parameters:
    memory: int = field(default=256 << 20, metadata={"kind": "size", "help": "RAM"})
    count: int = field(default=3_000_000, metadata={"min": 1, "help": "accesses"})


def build(parameters):
    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region = simulation.mmap(task.process, pages * 4096)  # 5/8 of the RAM
        simulation.populate(task, region, first=hot)
        simulation.populate(task, region)  # hot pages come last, so to CXL memory
        simulation.run([ln.HotCold(task=task, region=region, hot_pages=hot, count=n)])

    pages, hot = parameters.memory // 6400, parameters.memory // 51_200
    machine, n = ln.preset("dram-cxl", parameters.memory), parameters.count
    none = ln.Variant("none", machine, ln.Settings(), steps, n, pages)
    ways = none, replace(none, name="hottest", daemons=(Hottest(),))
    return ln.Study(__doc__, "daemon", ways, ln.SUMMARY)
