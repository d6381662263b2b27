"""Lines of memory scripts as people write them: parts in round numbers, and calls.

Functions here draw what is left open, note which parts a process may access, and keep
``main`` from accessing others.
"""

from story import MAIN, PAGES_PER_HUGE

H = PAGES_PER_HUGE
#: How often a part is drawn that a process may access.
TRIES = 8
#: Where parts begin, after the start of a region or of one of its huge pages.
PLACES = (0, 0, 1, 10, 50, 90, 100, 200, 256, 300, 400, 500, 511)
LENGTHS = (1, 3, 5, 10, 20, 30, 50, 100, 200, 256, 300, H, H, 600, 700, 1000, 2 * H)
ADVICES = ("dontneed", "free", "cold", "pageout")
POPULATES = ("populate_read", "populate_write")
#: Nodes that no machine here has.
ABSENT = (5, 6, 7, 9)


# --- words ----------------------------------------------------------------------------


def size(pages):
    """Return a size as people write it."""
    return f"{pages // H}h" if pages and not pages % H else f"{pages}p"


def part(story, region):
    """Return (first, pages) of a part; every third is a huge page, or some."""
    pages = story.pages[region]
    first = story.random.randrange(max(1, pages // H)) * H
    if story.chance(0.35):
        count = story.one(1, 1, 2) * H
    else:
        first += story.one(*PLACES)
        count = story.one(*LENGTHS)
    first = min(first, pages - 1)
    return first, min(count, pages - first)


def inside(story, region):
    """Return (first, pages) of a small part in the middle of a region."""
    pages = story.pages[region]
    count = story.one(1, 5, 10, 20, 30, 50, 100, 200)
    first = story.random.randrange(pages // H) * H + story.one(10, 90, 100, 300, 500)
    return min(first, pages - count - 1), count


def across(story, region, hole):
    """Return (first, pages) of a range that begins or ends beside a part, or covers."""
    first, count = hole
    pages = story.pages[region]
    before = story.one(0, max(0, first - 10), max(0, first - 100), first // H * H)
    after = first + count
    ends = (after, after + 10, after + 100, (after // H + 1) * H, pages, first + 1)
    end = min(pages, story.one(*ends))
    start = story.one(before, before, before, min(first + count // 2, end - 1))
    return start, max(1, end - start)


def at(where):
    """Return a part as the words of a script."""
    return f"{size(where[0]) if where[0] else '0'} {size(where[1])}"


def someone(story):
    """Return a process that is alive."""
    return story.random.choice(sorted(story.forbidden))


def setting(story, region, absent=0.0):
    """Return a mode and its nodes; with a probability one of these does not exist."""
    mode = story.one(
        *"bind bind interleave interleave preferred preferred_many".split()
    )
    if story.chance(0.15):
        return story.one("default", "local")
    missing = story.chance(absent)
    if mode == "preferred":
        return f"preferred {story.one(*ABSENT) if missing else story.node()}"
    nodes = story.node_list()
    if missing:
        alone = story.chance(0.4)
        nodes = f"{'' if alone else nodes + ','}{story.one(*ABSENT)}"
    return f"{mode} {nodes}"


# --- lines ----------------------------------------------------------------------------


def open_to(story, region, process, access):
    """Return the pages of a region that a process may not access so."""
    shut = story.forbidden[process].get(region, set())
    if access == "r":
        return shut - story.readable.get((process, region), set())
    return shut


def reach(story, region, process=MAIN, access=None, stride=None, where=None):
    """Write accesses that do not end the process, if a few tries find such a part."""
    access = access or story.one("w", "w", "w", "r")
    shut = open_to(story, region, process, access)
    for _ in range(TRIES):
        first, count = where or part(story, region)
        if shut.isdisjoint(range(first, first + count)):
            break
    else:
        return
    stride = stride or story.one("4K", "4K", "4K", "8K", "64K")
    story.say(f"touch {region} {at((first, count))} {stride} {access}", process)


def guard(story, region, protection, where, process=MAIN):
    """Write a protection, and note who may access what."""
    story.say(f"protect {region} {at(where)} {protection}", process)
    pages = set(range(where[0], sum(where)))
    shut = story.forbidden[process][region]
    readable = story.readable.setdefault((process, region), set())
    pages -= story.holes.get((process, region), set())
    if protection == "rw":
        shut -= pages
    else:
        shut |= pages
    if protection == "r":
        readable |= pages
    else:
        readable -= pages


def dig(story, region, where, process=MAIN):
    """Write an unmapping."""
    story.say(f"unmap {region} {at(where)}", process)
    pages = set(range(where[0], sum(where)))
    story.forbidden[process][region] |= pages
    story.holes.setdefault((process, region), set()).update(pages)
    story.readable.setdefault((process, region), set()).difference_update(pages)


def birth(story, child):
    """Write a fork: the child may what main may."""
    story.fork(child)
    for region in story.forbidden[MAIN]:
        for noted in (story.readable, story.holes):
            if (MAIN, region) in noted:
                noted[child, region] = set(noted[MAIN, region])
    if story.chance(0.7):
        story.cpu(child)


def bind(story, region, process=MAIN, where=None, flags=("", "", "move"), absent=0.0):
    """Write a policy of a region or a part."""
    words = f"policy {region} {setting(story, region, absent)} {story.one(*flags)}"
    story.say(words.rstrip() + (f" at {at(where)}" if where else ""), process)


def shift(story, region, process=MAIN, where=None, node=None):
    """Write a move of pages."""
    node = story.node() if node is None else node
    where = where or part(story, region)
    story.say(f"move {region} {at(where)} {node}", process)


def whole(where):
    """Return the huge pages that a part begins and ends in."""
    first, end = where[0] // H * H, -(-sum(where) // H) * H
    return first, end - first


def call(story, kind, region, process=MAIN, where=None):
    """Write a system call of a kind about a part."""
    where = where or part(story, region)
    if kind == "collapse" and story.chance(0.8):
        where = whole(where)
    if kind in ("none", "r", "rw"):
        guard(story, region, kind, where, process)
    elif kind == "unmap":
        dig(story, region, where, process)
    elif kind == "touch":
        reach(story, region, process)
    elif kind == "read":
        reach(story, region, process, "r")
    elif kind == "refill":
        reach(story, region, process, "w", "4K", where)
    elif kind == "move":
        shift(story, region, process, where)
    elif kind == "migrate":
        story.migrate(process)
    elif kind == "policy":
        bind(story, region, process, where)
    elif kind == "policy_move":
        flags = ("move", "move", "move strict", "move_all", "strict")
        bind(story, region, process, where, flags)
    elif kind == "home":
        story.say(f"home {region} {story.node()} at {at(where)}", process)
    elif kind == "cpu":
        story.cpu(process)
    elif kind == "khugepaged":
        story.khugepaged()
    else:
        story.say(f"advise {region} {kind} {at(where)}", process)


def steps(story, kinds, least, most, regions="A", looks=0.35):
    """Write some calls, by anyone; after some of them somebody observes."""
    for _ in story.times(least, most):
        region, process = story.one(*regions), someone(story)
        call(story, story.one(*kinds), region, process)
        if story.chance(looks):
            story.say(f"observe {region}", process)
        if story.chance(looks / 3):
            story.say("counters")


def machine(story, *enabled):
    """Write the machine, one of three, and whether there are huge pages."""
    story.machine(4, 4, 2, 3)
    story.set("thp.enabled", *(enabled or ("always",)))
    story.readable, story.holes = {}, {}
    if story.chance(0.2):
        story.say("set move.status 1")


def swap(story, probability=1.0):
    """Write that there is swap."""
    if story.chance(probability):
        story.say("set vm.page-cluster 0")
        story.say("swapon")
        return True
    return False


def mapping(story, name="A", huge=(2, 4), shared=False):
    """Write a mapping of whole huge pages, or of a few pages more."""
    pages = story.random.randint(*huge) * H + story.one(0, 0, 0, 0, 100, 300)
    story.map(name, pages, shared)
    if story.chance(0.8):
        story.cpu()


def grow(story, name="A", process=MAIN):
    """Write how a region gets its pages: huge or small ones, written or only read."""
    everything = (0, story.pages[name])
    how = story.one("2M", "2M", "4K", "4K", "read", "populate", "mixed", "parts")
    if how in ("2M", "4K"):
        reach(story, name, process, "w", how, everything)
    elif how == "read":
        reach(story, name, process, "r", story.one("4K", "2M"), everything)
        reach(story, name, process, "w")
    elif how == "populate":
        story.say(f"advise {name} {story.one(*POPULATES)}", process)
    elif how == "mixed":
        half = story.pages[name] // H // 2 * H
        reach(story, name, process, "w", "2M", (0, half))
        story.say(f"advise {name} nohugepage {at((half, half))}", process)
        reach(story, name, process, "w", "4K", (half, story.one(100, 300, H)))
    else:
        for _ in story.times(2, 4):
            reach(story, name, process, "w")
            story.cpu(process)


def patchwork(story, name="A"):
    """Write pages that leave each huge page of a region in another state."""
    for first in range(0, story.pages[name] // H * H, H):
        kind = story.one(
            "whole", "zeros", "half", "few", "two", "sparse", "read", "none"
        )
        some = story.one(10, 100, 256, 300, 500, 511)
        whole = (first, H)
        if story.chance(0.4):
            story.cpu()
        if kind == "whole":
            reach(story, name, access="w", stride="4K", where=whole)
        if kind == "zeros":
            story.say(f"advise {name} populate_write {at(whole)}")
        if kind in ("half", "few", "two"):
            reach(story, name, access="w", stride="4K", where=(first, some))
        if kind == "two":
            story.cpu()
            rest = (first + some, H - some)
            reach(story, name, access=story.one("w", "w", "r"), stride="4K", where=rest)
        if kind == "sparse":
            reach(story, name, access="w", stride=story.one("8K", "16K"), where=whole)
        if kind == "read":
            reach(story, name, access="r", stride="4K", where=whole)


def balancing(story, process=MAIN, seconds=2):
    """Write that NUMA balancing works while a process uses what it may."""
    story.say("set kernel.numa_balancing 1")
    access = story.one("r", "r", "w")
    shut = open_to(story, "A", process, access)
    pages = story.pages["A"]
    first = next((at for at in range(pages) if at not in shut), 0)
    end = next((at for at in range(first, pages) if at in shut), pages)
    story.say(f"settle A {at((first, end - first))} 4K {access} {seconds}", process)
    story.say("set kernel.numa_balancing 0")
    if story.chance(0.6):
        reach(story, "A", process, "r", "4K", (first, end - first))
