"""Is a page of slow memory worth moving at its second hint fault, not its first?"""

from dataclasses import dataclass, field

from lazynuma import engine as ln


def promote(fault, mine):
    """Let a page come to the CPU if its last hint fault was under ten seconds ago."""
    before = mine.seen_ms[fault.page]
    mine.seen_ms[fault.page] = fault.now_ns // 1_000_000
    return fault.cpu_node if mine.seen_ms[fault.page] < before + 10_000 else ln.STAY


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

    def way(name, mode, policy=None):
        knobs = ln.Settings(balancing=ln.Balancing(mode=mode, demotion=True))
        return ln.Variant(name, machine, knobs, steps, n, pages, policy=policy)

    pages, hot = parameters.memory // 6400, parameters.memory // 51_200
    machine, n = ln.preset("dram-cxl", parameters.memory), parameters.count
    seen = (ln.Own("seen_ms", "int64", "page", fill=-10_000),)
    mine = ln.PlacementPolicy(promote=promote, arrays=seen)
    ways = way("off", "off"), way("linux", "tiering"), way("mine", "tiering", mine)
    return ln.Study(__doc__, "way", ways, ln.SUMMARY)
