"""Random recordings for a pair of simulations, and worlds to play them in."""

import random

import numpy as np

from common.pair import MECHANISMS, MIB, Pair
from common.stories import any_cpu, balanced_world, sampling, world
from lazynuma.engine import Mode, Policy, Recording

MS = 1_000_000


def begin(pair, rng):
    """Start a process with some tasks and a region."""
    process = pair.call("spawn", f"p{len(pair.processes)}", 32 * MIB)
    pair.processes.append(process)
    for _ in range(rng.randint(1, 3)):
        pair.tasks.append(pair.call("start_task", process, any_cpu(pair, rng)))
    pages = rng.choice([40, 1300, 4000, 4000])
    pair.regions.append(pair.call("mmap", process, pages * 4096))


def inherit(pair, rng):
    """Fork a process that lives; the child works on the same pages."""
    parent = rng.choice(pair.alive())
    child = pair.call("fork", parent)
    pair.processes.append(child)
    pair.tasks.append(pair.call("start_task", child, any_cpu(pair, rng)))


def region_of(pair, task):
    """Return the region that a task of a family works on."""
    family = task[0].process.family
    region = next(one for one in pair.regions if one[0].process.family == family)
    return [half.of(owner.process) for half, owner in zip(region, task, strict=True)]


def owners(rng, tasks, count):
    """Return whose access each is: taking turns, or in blocks."""
    run = rng.choice([1, 1, 7, 60])
    drawn = [rng.randrange(tasks) for _ in range(-(-count // run))]
    return np.repeat(drawn, run)[:count]


def cpus(pair, rng, who):
    """Return the CPU of each access: none, one for each task, or ever another."""
    style = rng.choice(["none", "fixed", "hops", "hops", "mixed"])
    if style == "none":
        return None
    home = [any_cpu(pair, rng) for _ in range(who.max() + 1)]
    cpu = np.array(home)[who]
    often = {"fixed": 0.0, "hops": 0.1, "mixed": 0.5}[style]
    for i in range(cpu.size):
        if rng.random() < often:
            cpu[i] = rng.choice([any_cpu(pair, rng), any_cpu(pair, rng), -1])
    return cpu


def times(pair, rng, count):
    """Return the time of each access, ns: none, or with gaps, and not in order."""
    if rng.random() < 0.4:
        return None
    step = rng.choice([100, 10_000, MS // 4])
    gaps = np.array([rng.randrange(2 * step) for _ in range(count)])
    for _ in range(rng.randint(0, 3)):
        long = 60 if pair.balances else 2500
        gaps[rng.randrange(count)] += rng.choice([1, 30, long]) * MS
    found = pair.sims[1].now + np.cumsum(gaps)
    found -= np.array([rng.choice([0, 0, 3 * step]) for _ in range(count)])
    found[[rng.random() < 0.05 for _ in range(count)]] = -1
    return np.maximum(found, -1)


def pages(rng, regions, who):
    """Return the page of each access: at random, or one after the other."""
    if rng.random() < 0.4:
        return np.array([rng.randrange(regions[i][0].pages) for i in who])
    sizes = np.array([region[0].pages for region in regions])
    return (rng.randrange(sizes.max()) + np.arange(who.size)) % sizes[who]


def play(pair, rng):
    """Let both play a random recording of some tasks."""
    tasks = rng.sample(pair.tasks, rng.randint(1, len(pair.tasks)))
    regions = [region_of(pair, task) for task in tasks]
    count = rng.choice([3, 60, 400, 1500, 1500])
    who = owners(rng, len(tasks), count)
    columns = {
        "who": who,
        "vpn": pages(rng, regions, who),
        "writes": np.array([rng.random() < 0.6 for _ in who]),
        "cpu": cpus(pair, rng, who),
        "time_ns": times(pair, rng, count),
        "refs": rng.choice([1, 64]),
    }
    for i, sim in enumerate(pair.sims):
        sim.play(
            Recording(
                tasks=[task[i] for task in tasks],
                regions=[region[i] for region in regions],
                **columns,
            )
        )


def prepare(pair, rng):
    """Do something that makes the next recording fault in another way."""
    task = rng.choice(pair.tasks)
    if not task[0].process.alive:
        return
    region, nodes = region_of(pair, task), range(len(pair.sims[1].machine.memory))
    what = rng.choice(["mark", "policy", "interleave", "move"])
    if what == "mark":
        pair.call("mark", task, region, rng.choice(MECHANISMS))
    elif what == "policy":
        pair.call("mbind", task, region, Policy(Mode.PREFERRED, (rng.choice(nodes),)))
    elif what == "interleave":
        pair.call("set_mempolicy", task, Policy(Mode.INTERLEAVE, tuple(nodes)))
    else:
        pair.call("move_task", task, any_cpu(pair, rng))


def recording_story(seed, steps, balanced=False, kind=Pair):
    """Play random recordings on both and compare after each."""
    rng = random.Random(seed)
    machine, options = (balanced_world if balanced else world)(rng, rng.random() < 0.3)
    options = sampling(options, seed)
    pair = kind(machine, options, rng.randrange(1 << 62))
    for _ in range(rng.randint(1, 3)):
        begin(pair, rng)
    for _ in range(steps):
        if rng.random() < 0.2 and pair.alive():
            inherit(pair, rng)
        if rng.random() < 0.5:
            prepare(pair, rng)
        play(pair, rng)
        pair.compare()
        assert pair.sims[0].dropped == pair.sims[1].dropped
    pair.check()
    return pair
