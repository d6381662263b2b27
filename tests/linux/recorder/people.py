"""Families of memory scripts as people write them: one idea each, in round numbers.

What is drawn is which parts, calls and processes; the idea, and the order of its steps,
is the family's.  After each step of interest somebody observes.
"""

from story import FAST_BALANCING, MAIN, PAGES_PER_HUGE, family

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
    """Return (first, pages) of a range that begins or ends beside a part, or covers it."""
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
    mode = story.one(*"bind bind interleave interleave preferred preferred_many".split())
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


def call(story, kind, region, process=MAIN, where=None):
    """Write a system call of a kind about a part."""
    where = where or part(story, region)
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
        kind = story.one("whole", "zeros", "half", "few", "two", "sparse", "read", "none")
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


# --- families: mappings that are cut --------------------------------------------------


@family
def holes(story):
    """A hole in the middle, and calls that go over it."""
    machine(story, "always", "always", "never")
    swap(story, 0.2)
    mapping(story)
    if story.chance(0.4):
        bind(story, "A")
    grow(story)
    hole = inside(story, "A")
    dig(story, "A", hole)
    if story.chance(0.4):
        birth(story, "kid")
    story.say("observe A")
    kinds = "policy policy_move policy_move move move r none rw hugepage nohugepage"
    kinds = (*kinds.split(), *ADVICES, *POPULATES, "collapse", "migrate")
    for _ in story.times(2, 5):
        process = someone(story)
        call(story, story.one(*kinds), "A", process, across(story, "A", hole))
        if story.chance(0.5):
            story.say("observe A", process)
        if story.chance(0.4):
            reach(story, "A", process)
    story.observe()


@family
def guards(story):
    """Parts that may not be written or accessed, and what then moves."""
    machine(story, "always", "always", "never")
    swapped = swap(story, 0.3)
    mapping(story)
    grow(story)
    for _ in story.times(1, 3):
        guard(story, "A", story.one("none", "r", "none", "rw"), part(story, "A"))
    if story.chance(0.4):
        birth(story, "kid")
    story.say("counters")
    kinds = "move move policy_move migrate collapse touch dontneed free read rw".split()
    steps(story, [*kinds, *["pageout"] * swapped], 2, 4)
    guard(story, "A", "rw", (0, story.pages["A"]))
    story.observe()
    if story.chance(0.5):
        reach(story, "A", access="w")
        story.say("advise A collapse")
        story.observe()


@family
def mends(story):
    """Mappings that are cut and become one again, before and after their first write."""
    machine(story)
    mapping(story)
    ways = {
        "protect": lambda where, on: guard(story, "A", "r" if on else "rw", where),
        "policy": lambda where, on: story.say(
            f"policy A {'bind 1' if on else 'default'} at {at(where)}"
        ),
        "advice": lambda where, on: story.say(
            f"advise A {'nohugepage' if on else 'hugepage'} {at(where)}"
        ),
    }
    way = ways[story.one(*ways)]
    cuts = [inside(story, "A") if story.chance(0.5) else part(story, "A")]
    if story.chance(0.4):
        reach(story, "A")
    way(cuts[0], True)
    for _ in story.times(1, 2):
        reach(story, "A", access="w")
    if story.chance(0.5):
        cuts.append(part(story, "A"))
        way(cuts[-1], True)
    if story.chance(0.5):
        birth(story, "kid")
        if story.chance(0.5):
            reach(story, "A", "kid")
    story.random.shuffle(cuts)
    for where in cuts:
        way(where, False)
        reach(story, "A", access="w")
    if way is ways["advice"]:
        story.say("advise A hugepage")
    for process in story.forbidden:
        reach(story, "A", process, "w")
    if story.chance(0.4):
        story.khugepaged()
    story.observe()


@family
def sizes(story):
    """Huge and small pages in one region, and calls that meet both."""
    machine(story, "madvise")
    swapped = swap(story, 0.4)
    mapping(story, huge=(3, 5))
    story.say(f"advise A hugepage {at(part(story, 'A'))}")
    for _ in story.times(2, 4):
        kind = story.one("touch", "touch", *POPULATES, "hugepage", "nohugepage", "cpu")
        call(story, kind, "A")
    story.say("observe A")
    kinds = "move policy_move dontneed free collapse nohugepage r rw unmap touch"
    steps(story, [*kinds.split(), *["pageout", "pageout"] * swapped], 3, 5)
    story.observe()


# --- families: policies ---------------------------------------------------------------


@family
def absent(story):
    """Calls with nodes that do not exist, among those that do."""
    machine(story, "always", "never")
    story.map("A", story.one(100, 700, 2 * H))
    story.cpu()
    reach(story, "A", where=(0, story.pages["A"] // 2))
    for _ in story.times(5, 9):
        nodes = f"{story.node()},{story.one(*ABSENT)}"
        missing = str(story.one(*ABSENT))
        kind = story.one("policy", "policy", "migrate", "move", "task", "touch")
        if kind == "policy":
            where = story.one(None, part(story, "A"))
            bind(story, "A", where=where, flags=("", "move", "strict"), absent=0.8)
        elif kind == "migrate":
            first, then = story.one(nodes, missing, "0-3"), story.one(nodes, missing, "1")
            story.say(f"migrate {first} {then}")
        elif kind == "move":
            node = story.one(*ABSENT, story.nodes)
            shift(story, "A", node=node)
        elif kind == "task":
            story.say(f"taskpolicy {setting(story, 'A', 0.7)}")
        else:
            reach(story, "A")
        if story.chance(0.2):
            story.say("observe A")
    story.observe()


@family
def overlap(story):
    """Policies of parts that overlap, some of which move; then the rest is touched."""
    machine(story, "always", "always", "never")
    mapping(story, huge=(2, 3))
    flags = ("", "", "move", "strict", "move strict")
    for _ in story.times(2, 4):
        bind(story, "A", where=part(story, "A"), flags=flags)
        if story.chance(0.6):
            reach(story, "A")
        if story.chance(0.2):
            story.cpu()
    story.say("observe A")
    if story.chance(0.3):
        birth(story, "kid")
    for _ in story.times(1, 3):
        process = someone(story)
        bind(story, "A", process, story.one(None, part(story, "A")), flags)
        reach(story, "A", process)
    story.observe()
    if story.chance(0.5):
        story.say("advise A dontneed")
        reach(story, "A", access="w", stride="4K", where=(0, story.pages["A"]))
        story.observe()


@family
def task(story):
    """The thread's policy of each mode, from odd offsets, before a fork and after."""
    machine(story, "always", "never", "never")
    mapping(story, huge=(2, 3))
    story.say(f"taskpolicy {setting(story, 'A')}")
    for _ in story.times(2, 4):
        kind = story.one("touch", "touch", "touch", "dontneed", *POPULATES, "policy")
        call(story, kind, "A")
    story.say("observe A")
    if story.chance(0.5):
        birth(story, "kid")
        if story.chance(0.6):
            story.say(f"taskpolicy {setting(story, 'A')}", "kid")
        reach(story, "A", "kid", "w")
    story.say(f"taskpolicy {setting(story, 'A')}")
    kinds = "touch touch dontneed collapse policy_move cpu free".split()
    steps(story, kinds, 2, 4)
    if story.chance(0.4):
        story.map("B", 300, story.chance(0.4))
        reach(story, "B", access="w", where=(7, 200))
    story.observe()


@family
def common(story):
    """Shared mappings with policies of two processes."""
    machine(story, "never", "always")
    swapped = swap(story, 0.5)
    mapping(story, huge=(1, 2), shared=True)
    if story.chance(0.7):
        bind(story, "A", where=story.one(None, part(story, "A")), flags=("",))
    if story.chance(0.3):
        story.say(f"taskpolicy {setting(story, 'A')}")
    reach(story, "A")
    reach(story, "A")
    birth(story, "kid")
    kinds = "touch touch touch policy policy_move move dontneed populate_write none rw"
    steps(story, [*kinds.split(), *["pageout"] * 3 * swapped], 3, 6)
    if story.chance(0.3):
        guard(story, "A", "rw", (0, story.pages["A"]))
    story.observe()
    if swapped:
        story.say("swapoff")
        story.observe()


# --- families: processes --------------------------------------------------------------


@family
def forks(story):
    """Cuts before a fork and after; each process then writes, cuts and moves."""
    machine(story, "always", "always", "never")
    mapping(story)
    grow(story)
    cuts = ("r", "policy", "policy_move", "unmap", "nohugepage", "dontneed")
    steps(story, cuts, 0, 2, looks=0.1)
    birth(story, "kid")
    if story.chance(0.4):
        reach(story, "A", access="w")
        birth(story, "young")
    kinds = "touch touch touch move policy_move migrate dontneed collapse rw free"
    steps(story, [*cuts, *kinds.split(), *kinds.split()], 3, 6)
    story.observe()
    story.exit("kid")
    steps(story, ("touch", "move", "policy_move", "collapse"), 1, 2)
    story.observe()


@family
def double(story):
    """A huge page that one process maps whole and another by small entries."""
    machine(story)
    swapped = swap(story, 0.6)
    mapping(story, huge=(2, 3))
    stride = story.one("2M", "4K")
    reach(story, "A", access="w", stride=stride, where=(0, story.pages["A"]))
    birth(story, "kid")
    if story.chance(0.25):
        birth(story, "young")
    cuts = ("touch", "touch", "r", "unmap", "dontneed", "nohugepage", "policy", "free")
    for _ in story.times(1, 2):
        process = story.one("kid", "kid", someone(story))
        call(story, story.one(*cuts), "A", process, inside(story, "A"))
    story.observe()
    kinds = "free cold move move policy_move migrate collapse dontneed touch refill"
    steps(story, [*kinds.split(), *["pageout"] * 4 * swapped], 2, 4)
    story.observe()
    if swapped and story.chance(0.5):
        story.say("swapoff")
        story.observe()


# --- families: zeros, age and swap ----------------------------------------------------


@family
def zeros(story):
    """Pages that are there and were never written, and what splits and swap make of them."""
    machine(story)
    swapped = swap(story, 0.7)
    mapping(story)
    everything = (0, story.pages["A"])
    if story.chance(0.5):
        story.say("advise A populate_write")
    else:
        stride = story.one("2M", "64K", "8K")
        reach(story, "A", access="w", stride=stride, where=everything)
    if story.chance(0.5):
        reach(story, "A", access=story.one("w", "r"), where=inside(story, "A"))
    if story.chance(0.3):
        birth(story, "kid")
    kinds = "dontneed move policy_move unmap free nohugepage r touch refill collapse cold"
    steps(story, [*kinds.split(), *["pageout"] * 5 * swapped], 2, 5)
    story.observe()
    if swapped and story.chance(0.5):
        story.say("swapoff")
        story.observe()


@family
def huge_zero(story):
    """The huge zero page, and zero pages that are small: written, cut, joined, copied."""
    machine(story, "always", "always", "madvise")
    if story.chance(0.3):
        story.set("thp.use_zero_page", 0, 1)
    mapping(story)
    if story.chance(0.6):
        story.say("advise A hugepage")
    reach(story, "A", access="r", where=(0, story.pages["A"]), stride="2M")
    if story.chance(0.4):
        birth(story, "kid")
    kinds = "touch touch read dontneed move policy_move collapse r rw free nohugepage"
    steps(story, [*kinds.split(), *POPULATES, "unmap", "khugepaged"], 3, 5)
    story.observe()


@family
def readers(story):
    """Small pages that were read first and then written, by one process or two."""
    machine(story, "madvise", "madvise", "never")
    swapped = swap(story, 0.4)
    mapping(story, huge=(2, 3))
    reach(story, "A", access="r", stride="4K")
    if story.chance(0.5):
        story.say(f"advise A populate_read {at(part(story, 'A'))}")
    reach(story, "A", access="w")
    if story.chance(0.4):
        birth(story, "kid")
    kinds = "touch read move policy_move collapse hugepage khugepaged dontneed free r rw"
    steps(story, [*kinds.split(), "touch", *["pageout"] * 2 * swapped], 3, 5)
    story.say("advise A hugepage")
    story.say(story.one("khugepaged 3", "advise A collapse"))
    story.observe()


@family
def ages(story):
    """Swap, pageout and advice about age in turns; children share some of it."""
    machine(story, "always", "never")
    swap(story)
    mapping(story, huge=(2, 3))
    grow(story)
    if story.chance(0.5):
        birth(story, "kid")
    kinds = "pageout pageout pageout free free cold touch touch read dontneed".split()
    steps(story, kinds, 3, 6, looks=0.5)
    steps(story, ("move", "policy_move", "migrate", "collapse", "touch", "r"), 0, 2)
    story.say("advise A pageout")
    story.observe()
    if story.chance(0.5):
        reach(story, "A")
        story.say("swapoff")
        story.observe()


# --- families: who joins and who moves ------------------------------------------------


@family
def daemon(story):
    """khugepaged, after a region was cut in ways that leave it some huge pages."""
    machine(story, "madvise")
    story.set("khugepaged.max_ptes_none", 511, 511, 200, 64, 0)
    if story.chance(0.4):
        story.set("khugepaged.max_ptes_shared", 0, 100, 256)
    swapped = swap(story, 0.3)
    mapping(story, huge=(3, 5))
    patchwork(story)
    if story.chance(0.35):
        birth(story, "kid")
    cuts = "r none policy policy unmap dontneed free move touch rw".split()
    steps(story, [*cuts, *["pageout"] * swapped], 1, 4, looks=0.1)
    story.say("observe A")
    story.say("advise A hugepage")
    if story.chance(0.3):
        story.say(f"advise A nohugepage {at(part(story, 'A'))}")
    story.khugepaged()
    story.observe()
    if story.chance(0.4):
        guard(story, "A", "rw", (0, story.pages["A"]))
        story.say("policy A default")
        reach(story, "A")
        story.say("advise A hugepage")
        story.khugepaged()
        story.observe()


@family
def gather(story):
    """MADV_COLLAPSE over everything there is."""
    machine(story, "madvise", "madvise", "always", "never")
    swapped = swap(story, 0.4)
    mapping(story, huge=(3, 5))
    patchwork(story)
    if story.chance(0.35):
        birth(story, "kid")
    kinds = "r none policy unmap dontneed free cold move touch nohugepage".split()
    steps(story, [*kinds, *["pageout"] * 2 * swapped], 1, 3, looks=0.1)
    story.observe()
    if story.chance(0.3):
        story.say(f"taskpolicy {setting(story, 'A')}")
    for first in range(0, story.pages["A"] // H * H, H):
        story.say(f"advise A collapse {at((first, H))}", someone(story))
    story.observe()
    steps(story, ("touch", "dontneed", "move", "policy_move", "rw", "collapse"), 1, 2)
    story.say("advise A collapse")
    story.observe()


@family
def hints(story):
    """NUMA balancing of what was cut, protected, shared or split before."""
    machine(story, "always", "always", "never")
    for name, value in FAST_BALANCING:
        story.set(name, value)
    mapping(story)
    reach(
        story,
        "A",
        access="w",
        stride=story.one("2M", "4K", "4K"),
        where=(0, story.pages["A"]),
    )
    forked = story.chance(0.4)
    if forked:
        birth(story, "kid")
    kinds = "r none rw touch policy dontneed unmap nohugepage free move read".split()
    steps(story, kinds, 1, 3, looks=0.1)
    story.cpu()
    story.observe()
    balancing(story, story.one(MAIN, someone(story)))
    story.observe()
    if story.chance(0.5):
        steps(story, ("rw", "move", "policy_move", "touch", "pageout", "collapse"), 1, 2)
        story.observe()
