"""Is a page of slow memory worth moving at its second hint fault, not its first?"""

from dataclasses import dataclass, field

from lazynuma import engine as ln


def promote(fault, mine):
    """Let a page come to the CPU if its last hint fault was under ten seconds ago."""
    now_ms = fault.now_ns // 1_000_000
    since = now_ms - mine.seen_ms[fault.page]
    mine.seen_ms[fault.page] = now_ms
    return fault.cpu_node if since < 10_000 else ln.STAY


@dataclass(frozen=True)
class Parameters:
    memory: int = field(default=256 << 20, metadata={"kind": "size", "help": "RAM"})
    count: int = field(default=3_000_000, metadata={"min": 1, "help": "accesses"})


def build(parameters):
    pages, count = parameters.memory // 6400, parameters.count
    machine = ln.preset("dram-cxl", parameters.memory)  # pages of 4 KiB fill 5/8 of it

    def steps(simulation):
        task = simulation.start_task(simulation.spawn(), cpu=0)
        region, hot = simulation.mmap(task.process, pages * 4096), pages // 8
        simulation.populate(task, region, first=hot)
        simulation.populate(
            task, region
        )  # the hot pages are the last, so in CXL memory
        load = ln.HotCold(task=task, region=region, hot_pages=hot, count=count)
        simulation.run([load])

    def way(name, mode, policy=None):
        knobs = ln.Settings(balancing=ln.Balancing(mode=mode, demotion=True))
        return ln.Variant(name, machine, knobs, steps, count, pages, policy=policy)

    seen = ln.Own("seen_ms", "int64", "page", fill=-10_000)
    mine = ln.PlacementPolicy(promote=promote, arrays=(seen,))
    ways = way("off", "off"), way("linux", "tiering"), way("second", "tiering", mine)
    return ln.Study(__doc__, "policy", ways, ln.SUMMARY)
