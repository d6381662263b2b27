"""Write random memory scripts: generate.py FAMILY SEED... -o DIR

A seed is a number, or numbers as 1-9; FAMILY may be "all".  The same family and seed
give the same script.
"""

import argparse
from pathlib import Path

import people  # noqa: F401
from story import (
    FAMILIES,
    FAST_BALANCING,
    MAIN,
    PAGES_PER_MEBIBYTE,
    Story,
    family,
)

# --- families: faults, policies, huge pages -------------------------------------------


@family
def first_touch(story):
    story.machine()
    story.set("thp.enabled", "never", "always", "madvise")
    story.map("A", story.length())
    for _ in story.times(3, 6):
        story.cpu()
        story.touch("A")
    story.observe()


@family
def policy(story):
    story.machine()
    story.set("thp.enabled", "never", "always")
    for region in "ABC"[: story.one(1, 2, 3)]:
        story.map(region, story.length(3))
        story.cpu()
        if story.chance(0.5):
            story.policy(region)
        story.touch(region, (0, story.pages[region]), "w", "4K")
        story.policy(
            region, flags=("move", "move", "move_all", "strict", "move strict")
        )
        if story.chance(0.5):
            story.say(f"taskpolicy interleave {story.node_list()}")
            story.advise(region, "dontneed", story.cut(region))
            story.touch(region)
            story.say("taskpolicy default")
        story.say(f"observe {region}")
    story.say("counters")


@family
def thp_split(story):
    story.machine()
    story.set("thp.enabled", "always")
    story.cpu()
    story.map("A", story.length())
    story.touch("A", (0, story.pages["A"]), "w", "2M")
    splits = {
        "move": lambda: story.move("A"),
        "policy": lambda: story.policy("A", flags=("move",)),
        "dontneed": lambda: story.advise("A", "dontneed", story.cut("A")),
        "protect": lambda: story.protect("A", story.one("r", "none", "rw")),
        "unmap": lambda: story.unmap("A"),
        "free": lambda: story.advise("A", "free", story.cut("A")),
        "nohugepage": lambda: story.advise("A", "nohugepage", story.cut("A")),
        "touch": lambda: story.touch("A"),
    }
    for _ in story.times(2, 4):
        splits[story.one(*splits)]()
        story.observe()


@family
def refault(story):
    story.machine()
    story.set("thp.enabled", "always", "always", "madvise", "never")
    story.map("A", story.length())
    for _ in story.times(4, 8):
        story.cpu()
        advice = story.one("dontneed", "dontneed", "populate_write", "touch", "touch")
        if advice == "touch":
            story.touch("A")
        else:
            story.advise("A", advice, story.cut("A"))
        if story.chance(0.15):
            story.advise("A", story.one("hugepage", "nohugepage"), story.cut("A"))
    story.observe()


@family
def khugepaged(story):
    story.machine()
    story.set("thp.enabled", "madvise", "always")
    story.set("khugepaged.max_ptes_none", 511, 511, 0, 64, 255, 510)
    story.map("A", story.length(5))
    story.advise("A", "nohugepage")
    story.patterns("A")
    story.cpu()
    story.advise("A", "hugepage", story.cut("A") if story.chance(0.3) else None)
    if story.chance(0.3):
        story.policy("A", flags=("",))
    story.khugepaged()
    story.observe()


@family
def collapse(story):
    story.machine()
    story.set("thp.enabled", "madvise", "always", "never")
    story.set("khugepaged.max_ptes_none", 511, 0, 255)
    story.map("A", story.length(5))
    story.advise("A", "nohugepage")
    story.patterns("A")
    story.cpu()
    if story.chance(0.8):
        story.advise("A", "hugepage", story.cut("A") if story.chance(0.3) else None)
    for _ in story.times(2, 4):
        part = story.one(story.huge("A"), story.huge("A"), story.cut("A"))
        story.advise("A", "collapse", part)
        if story.chance(0.3):
            story.touch("A")
    story.observe()


# --- families: processes --------------------------------------------------------------


@family
def shared(story):
    story.machine()
    story.set("thp.enabled", "madvise", "always")
    story.set("khugepaged.max_ptes_shared", 0, 64, 256, 511)
    story.map("A", story.length(3))
    story.fill("A")
    story.fork("kid")
    story.cpu("kid")
    for _ in story.times(2, 5):
        process = story.one(MAIN, "kid")
        act = story.one("touch", "touch", "touch", "dontneed", "unmap")
        if act == "touch":
            story.touch("A", process=process)
        elif act == "dontneed":
            story.advise("A", "dontneed", story.cut("A"), process)
        else:
            story.unmap("A", process)
    story.observe()
    if story.chance(0.5):
        story.advise("A", "hugepage", process=story.one(MAIN, "kid"))
        story.khugepaged()
        story.observe()
    story.exit("kid")
    story.touch("A")
    story.observe()


@family
def fork_migrate(story):
    """Pages that a fork shares are moved, by either process."""
    story.machine()
    story.set("thp.enabled", "never", "always")
    story.map("A", story.length(3))
    story.fill("A")
    story.fork("kid")
    if story.chance(0.4):
        story.fork("other")
    story.cpu("kid")
    for _ in story.times(2, 4):
        process = story.random.choice(sorted(story.forbidden))
        act = story.one("touch", "move", "move", "migrate", "policy")
        if act == "touch":
            story.touch("A", access="w", process=process)
        elif act == "move":
            story.move("A", process)
        elif act == "migrate":
            story.migrate(process)
        else:
            story.policy("A", process, flags=("move", "move_all"))
        if story.chance(0.4):
            story.observe()
    story.exit("kid")
    story.move("A")
    story.observe()


@family
def shmem(story):
    """Mappings that are shared, in place of private ones."""
    story.machine()
    story.set("thp.enabled", "never", "always")
    story.map("A", story.length(3), shared=True)
    if story.chance(0.5):
        story.policy("A", flags=("",))
    story.cpu()
    story.touch("A")
    story.fork("kid")
    story.cpu("kid")
    for _ in story.times(3, 6):
        process = story.one(MAIN, "kid")
        act = story.one("touch", "touch", "touch", "dontneed", "move", "policy")
        if act == "touch":
            story.touch("A", process=process)
        elif act == "dontneed":
            story.advise("A", "dontneed", story.cut("A"), process)
        elif act == "move":
            story.move("A", process)
        else:
            story.policy("A", process)
    story.observe()
    story.exit("kid")
    story.advise("A", "dontneed")
    story.cpu()
    story.touch("A")
    story.observe()


# --- families: advice and protection --------------------------------------------------


def _aged(story, advice):
    """Advise parts of a region, with swap or without, and use it further."""
    story.machine()
    story.set("thp.enabled", "never", "always")
    story.set("vm.page-cluster", 0)
    if story.chance(0.6):
        story.say("swapon")
    story.cpu()
    story.map("A", story.length(3))
    story.fill("A")
    if story.chance(0.3):
        story.fork("kid")
    for _ in story.times(2, 4):
        process = story.random.choice(sorted(story.forbidden))
        act = story.one(advice, advice, "touch", "pageout")
        if act == "touch":
            story.touch("A", process=process)
        else:
            story.advise("A", act, story.cut("A"), process)
    story.observe()
    story.advise("A", "pageout", story.one(story.cut("A"), None))
    story.observe()
    story.cpu()
    story.touch("A")
    story.observe()


@family
def free(story):
    _aged(story, "free")


@family
def cold(story):
    _aged(story, "cold")


@family
def populate_read(story):
    story.machine()
    story.set("thp.enabled", "never", "always", "madvise")
    story.map("A", story.length(3))
    if story.chance(0.3):
        story.policy("A", flags=("",))
    for _ in story.times(3, 6):
        story.cpu()
        advice = story.one(
            *("populate_read",) * 3, "populate_write", "dontneed", "hugepage"
        )
        story.advise("A", advice, story.cut("A"))
        if story.chance(0.4):
            story.touch("A")
    if story.chance(0.3):
        story.protect("A", story.one("r", "none"))
        story.advise("A", "populate_read", story.cut("A"))
    story.observe()


@family
def protect(story):
    """Accesses around parts that are protected; children make the wrong ones."""
    story.machine()
    story.set("thp.enabled", "always", "always", "never")
    story.map("A", story.length(3))
    story.cpu()
    for _ in story.times(1, 2):
        story.touch("A")
    story.protect("A", story.one("none", "r"))
    story.cpu()
    for _ in story.times(2, 4):
        story.touch("A")
    story.say("observe A")
    story.protect("A", story.one("none", "r", "rw"))
    story.fork("kid")
    story.forbidden["kid"]["A"].clear()
    story.cpu("kid")
    for _ in story.times(1, 3):
        story.touch("A", process="kid")
    story.say("observe A", "kid")
    story.say(f"protect A 0p {story.pages['A']}p rw")
    story.forbidden[MAIN]["A"].clear()
    story.touch("A")
    story.exit("kid")
    story.observe()


# --- families: little memory, swap, balancing -----------------------------------------


@family
def swap(story):
    story.machine()
    story.set("thp.enabled", "madvise", "always", "never")
    story.set("vm.page-cluster", 0)
    story.set("khugepaged.max_ptes_swap", 0, 64, 256, 511)
    story.say("swapon")
    story.map("A", story.length(3))
    story.fill("A")
    forks = story.chance(0.3)
    if forks:
        story.fork("kid")
    for _ in story.times(2, 5):
        story.cpu()
        process = story.random.choice(sorted(story.forbidden))
        act = story.one("pageout", "pageout", "dontneed", "touch", "touch")
        if act == "touch":
            story.touch("A", process=process)
        else:
            story.advise("A", act, story.cut("A"), process)
        story.say("observe A", process)
    if forks:
        story.exit("kid")
    if story.chance(0.6):
        story.advise("A", "hugepage")
        story.khugepaged()
    story.observe()
    story.say("swapoff")
    story.say("observe A")


@family
def balance(story):
    story.machine()
    story.set("thp.enabled", "never", "always")
    for setting, value in FAST_BALANCING:
        story.set(setting, value)
    story.map("A", story.length(4))
    story.fill("A")
    if story.chance(0.3):
        story.policy("A", flags=("",))
    story.cpu()
    story.observe()
    story.say("set kernel.numa_balancing 1")
    first, count = story.one((0, story.pages["A"]), story.cut("A"))
    story.say(f"settle A {first}p {count}p 4K {story.one('r', 'w')} 3")
    story.say("set kernel.numa_balancing 0")
    story.touch("A", (first, count), "r", "4K")
    story.observe()


@family
def fallback(story):
    """One process fills node after node."""
    story.machine(4, 4, 3, memory="128M")
    story.set("thp.enabled", "never")
    story.cpu()
    size = story.random.randrange(100, 90 * story.nodes - 20)
    story.map("A", size * PAGES_PER_MEBIBYTE)
    kind = story.one("local", "preferred", "task", "preferred_many", "interleave")
    if kind == "task":
        story.say(f"taskpolicy preferred {story.node()}")
    elif kind == "preferred":
        story.say(f"policy A preferred {story.node()}")
    elif kind != "local":
        story.say(f"policy A {kind} {story.node_list()}")
    story.touch("A", (0, story.pages["A"]), "w", "4K")
    story.say("observe A")


@family
def oom(story):
    """Children that want more than there is."""
    story.machine(4, 3, 2, memory="128M")
    story.set("thp.enabled", "never")
    story.set("vm.overcommit_memory", 1)
    total = 128 * story.nodes
    story.map("A", (total + 100) * PAGES_PER_MEBIBYTE)
    bound = story.chance(0.5)
    if bound:
        story.say(f"policy A bind {story.node()}")
    story.fork("small")
    story.fork("big")
    room = 128 if bound else total
    least = story.random.randrange(8, room // 4)
    story.touch("A", (0, least * PAGES_PER_MEBIBYTE), "w", "4K", "small")
    story.touch("A", (0, room // 3 * PAGES_PER_MEBIBYTE), "w", "4K", "big")
    story.touch("A", (0, story.pages["A"]), "w", "4K", "big")
    for process in ("big", "small"):
        story.touch("A", (0, 1), "w", "4K", process)
    story.exit("small")
    story.say("counters")


# --- everything -----------------------------------------------------------------------


@family
def walk(story):
    """Random operations of all kinds."""
    story.machine()
    story.set("thp.enabled", "always", "madvise", "never")
    story.set("vm.page-cluster", 0)
    story.set("khugepaged.max_ptes_none", 511, 100, 0)
    swaps = story.chance(0.4)
    if swaps:
        story.say("swapon")
    story.map("A", story.length(3))
    story.map("B", story.length(3), shared=story.chance(0.2))
    scans = iter([True, True])
    for _ in story.times(10, 20):
        if "kid" not in story.forbidden and story.chance(0.1):
            story.fork("kid")
        _step(story, scans)
    story.observe()
    if "kid" in story.forbidden:
        story.exit("kid")
        story.observe()
    if swaps:
        story.say("swapoff")
        story.observe()


def _step(story, scans):
    """Write one operation of a walk; ``scans`` has what khugepaged may still do."""
    process = story.random.choice(sorted(story.forbidden))
    region = story.one("A", "B")
    part = story.cut(region)
    steps = {
        "cpu": lambda: story.cpu(process),
        "touch": lambda: story.touch(region, process=process),
        "policy": lambda: story.policy(region, process),
        "move": lambda: story.move(region, process),
        "migrate": lambda: story.migrate(process),
        "protect": lambda: story.protect(region, story.one("r", "rw"), process),
        "collapse": lambda: story.advise(
            region, "collapse", story.huge(region), process
        ),
        "khugepaged": lambda: next(scans, False) and story.khugepaged(),
    }
    for advice in (
        "hugepage nohugepage dontneed dontneed free cold pageout populate_read"
        " populate_write"
    ).split():
        steps[advice] = lambda advice=advice: story.advise(
            region, advice, part, process
        )
    steps[story.one(*steps, *["touch"] * 6, "cpu", "policy", "move", "collapse")]()


# --- files ----------------------------------------------------------------------------


def script(name, seed):
    """Return the script of a family and a seed."""
    story = Story(name, seed)
    FAMILIES[name](story)
    return "\n".join(story.lines) + "\n"


def write(name, seeds, folder, prefix=""):
    """Write a family's scripts; return their paths.

    What was recorded of another script of the same name goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{prefix}{name}-{seed}.mm" for seed in seeds]
    for path, seed in zip(paths, seeds, strict=True):
        text = script(name, seed)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.with_suffix(".json").unlink(missing_ok=True)
    return paths


def numbers(word):
    """Return the numbers that 7 or 1-9 mean."""
    first, _, last = word.partition("-")
    return range(int(first), int(last or first) + 1)


def add_arguments(parser):
    """Add the arguments that say which scripts there are to be."""
    parser.add_argument("family", choices=[*FAMILIES, "all"], metavar="FAMILY")
    parser.add_argument("seeds", nargs="+", type=numbers, metavar="SEED")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--prefix", default="", help="of the scripts' names")


def write_all(given):
    """Write the scripts that the arguments ask for; return their paths."""
    names = list(FAMILIES) if given.family == "all" else [given.family]
    seeds = [seed for numbers in given.seeds for seed in numbers]
    return [
        path
        for name in names
        for path in write(name, seeds, given.output, given.prefix)
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    for path in write_all(parser.parse_args(arguments)):
        print(path)


if __name__ == "__main__":
    main()
