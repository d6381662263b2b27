"""Families of memory scripts as people write them: one idea each, in round numbers.

What is drawn is which parts, calls and processes; the idea, and the order of its steps,
is the family's.  After each step of interest somebody observes.
"""

from habits import (
    ABSENT,
    ADVICES,
    POPULATES,
    H,
    across,
    at,
    balancing,
    bind,
    birth,
    call,
    dig,
    grow,
    guard,
    inside,
    machine,
    mapping,
    part,
    patchwork,
    reach,
    setting,
    shift,
    someone,
    steps,
    swap,
)
from story import FAST_BALANCING, MAIN, family

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
    """Mappings that are cut and made whole again, before and after a write."""
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
            first, then = (
                story.one(nodes, missing, "0-3"),
                story.one(nodes, missing, "1"),
            )
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
def weights(story):
    """Weighted interleave and home nodes, which some kernels do not have."""
    machine(story, "always", "never")
    for node in range(story.nodes):
        if story.chance(0.6):
            story.set(f"node.{node}.weight", 1, 2, 3, 5)
    mapping(story, huge=(2, 3))
    weighted = f"weighted_interleave {story.node_list()}"
    if story.chance(0.5):
        story.say(f"policy A {weighted} at {at(part(story, 'A'))}")
    else:
        story.say(f"taskpolicy {weighted}")
    reach(story, "A", access="w")
    story.say("observe A")
    if story.chance(0.4):
        birth(story, "kid")
    if story.chance(0.4):
        story.set(f"node.{story.node()}.weight", 0, 4, 255)
    kinds = "touch touch touch policy_move policy home home dontneed collapse r rw"
    steps(story, [*kinds.split(), "populate_write"], 3, 6)
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
    """Pages that are there and were never written; then splits, moves and swap."""
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
    kinds = (
        "dontneed move policy_move unmap free nohugepage r touch refill collapse cold"
    )
    steps(story, [*kinds.split(), *["pageout"] * 5 * swapped], 2, 5)
    story.observe()
    if swapped and story.chance(0.5):
        story.say("swapoff")
        story.observe()


@family
def huge_zero(story):
    """The huge zero page, and small ones: written, cut, joined, copied."""
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
def switches(story):
    """Settings of huge pages that change while there are some."""
    machine(story, "always", "madvise", "never")
    mapping(story)
    for _ in story.times(3, 5):
        setting = story.one("enabled", "enabled", "defrag", "use_zero_page")
        values = {
            "enabled": ("always", "madvise", "never"),
            "defrag": ("always", "defer+madvise", "defer", "madvise", "never"),
            "use_zero_page": (0, 1),
        }
        story.set(f"thp.{setting}", *values[setting])
        kinds = "touch touch read dontneed hugepage nohugepage collapse r rw"
        steps(story, [*kinds.split(), *POPULATES], 1, 2, looks=0.2)
    if story.chance(0.6):
        story.khugepaged()
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
    kinds = (
        "touch read move policy_move collapse hugepage khugepaged dontneed free r rw"
    )
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
        steps(
            story, ("rw", "move", "policy_move", "touch", "pageout", "collapse"), 1, 2
        )
        story.observe()


# --- families: several things at once -------------------------------------------------


@family
def tangle(story):
    """Everything about two regions, by up to three processes; most of it observed."""
    machine(story, "always", "always", "madvise")
    swapped = swap(story, 0.5)
    mapping(story, huge=(2, 3))
    mapping(story, "B", (1, 2), story.chance(0.3))
    grow(story)
    kinds = "touch touch touch read r none rw unmap policy policy_move move migrate"
    kinds += " collapse hugepage nohugepage dontneed free home refill cpu"
    kinds = (*kinds.split(), *POPULATES, *["pageout", "free", "cold"] * swapped)
    for child in (None, "kid", "young")[: story.one(1, 2, 3)]:
        if child:
            birth(story, child)
        steps(story, kinds, 3, 5, "AAB", looks=0.5)
    story.observe()


@family
def kin(story):
    """Children of different ages: who shares what when some of it moves or goes."""
    machine(story, "always", "always", "never")
    swapped = swap(story, 0.4)
    mapping(story, huge=(1, 3))
    grow(story)
    for child in ("old", "kid", "young"):
        birth(story, child)
        call(story, story.one("touch", "touch", "dontneed", "r", "free"), "A")
        reach(story, "A", child, "w")
    kinds = "move policy_move migrate collapse touch touch dontneed unmap free rw"
    kinds = (*kinds.split(), *["pageout", "pageout"] * swapped)
    steps(story, kinds, 2, 4, looks=0.6)
    story.exit(story.one("old", "kid", "young"))
    steps(story, kinds, 2, 4, looks=0.6)
    story.observe()
