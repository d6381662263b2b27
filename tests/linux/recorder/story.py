"""A memory script that is being written, by chance but for what it must not do."""

import random

PAGES_PER_HUGE = 512
PAGES_PER_MEBIBYTE = 256
MAIN = "main"
#: How often a part is drawn that a process may access.
TRIES = 8
#: Nodes, and the distances between them.
SHAPES = {
    2: "10,21/21,10",
    3: "10,20,30/20,10,40/30,40,10",
    4: "10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10",
}
MODES = ("bind", "preferred", "preferred_many", "interleave", "local", "default")
#: NUMA balancing as fast as it can be.
FAST_BALANCING = (
    ("balancing.scan_period_min_ms", 20),
    ("balancing.scan_period_max_ms", 40),
    ("balancing.scan_delay_ms", 10),
    ("balancing.scan_size_mb", 1024),
)
FAMILIES = {}


def family(tell):
    """Make a function, which tells a story, a family of its name."""
    FAMILIES[tell.__name__] = tell
    return tell


class Story:
    """A script that is being written, and what of it later lines depend on.

    pages      of each region
    forbidden  pages that a process must not access, by process and region
    """

    def __init__(self, name, seed):
        self.random = random.Random(f"{name} {seed}")
        self.lines = [f"# {name} {seed}"]
        self.nodes = 0
        self.pages = {}
        self.forbidden = {MAIN: {}}

    # --- chance -----------------------------------------------------------------------

    def one(self, *choices):
        """Return one of the choices."""
        return self.random.choice(choices)

    def chance(self, probability):
        """Return True with a probability."""
        return self.random.random() < probability

    def times(self, least, most):
        """Return a range of a random length."""
        return range(self.random.randint(least, most))

    def length(self, most=4):
        """Return the pages of a region: huge pages, or a few pages more or less."""
        huge = self.random.randint(2, most) * PAGES_PER_HUGE
        return huge + self.one(0, 0, 0, 1, -1, self.random.randrange(PAGES_PER_HUGE))

    def node(self):
        """Return a node."""
        return self.random.randrange(self.nodes)

    def node_list(self):
        """Return one or more nodes, as scripts have them."""
        count = self.random.randint(1, self.nodes)
        return ",".join(map(str, sorted(self.random.sample(range(self.nodes), count))))

    def cut(self, region):
        """Return (first, pages) of a part; often at the border of a huge page."""
        pages = self.pages[region]
        border = self.random.randrange(0, pages, PAGES_PER_HUGE)
        count = self.one(
            1, 2, 64, 256, 511, 512, 513, self.random.randint(1, pages), pages
        )
        near = border + self.one(0, 0, 1, -1, 256, 511)
        first = self.one(near, near, border, self.random.randrange(pages))
        first = min(max(0, first), pages - 1)
        return first, min(count, pages - first)

    def huge(self, region):
        """Return (first, pages) of a whole huge page."""
        first = self.random.randrange(self.pages[region] // PAGES_PER_HUGE)
        return first * PAGES_PER_HUGE, PAGES_PER_HUGE

    # --- lines ------------------------------------------------------------------------

    def say(self, text, process=MAIN):
        """Write one line."""
        self.lines.append(text if process == MAIN else f"in {process} {text}")

    def machine(self, *nodes, memory="512M"):
        """Write the machine, of one of so many nodes."""
        self.nodes = self.one(*(nodes or (4, 4, 4, 3, 2)))
        self.say(
            f"machine nodes={self.nodes} mem={memory} distance={SHAPES[self.nodes]}"
        )

    def set(self, setting, *values):
        """Write a setting of one of the values."""
        self.say(f"set {setting} {self.one(*values)}")

    def map(self, region, pages, shared=False):
        """Write a mapping."""
        self.pages[region] = pages
        self.say(f"map {region} {pages}p{' shared' if shared else ''}")
        self.forbidden[MAIN][region] = set()

    def fork(self, child):
        """Write a fork."""
        self.say(f"fork {child}")
        parent = self.forbidden[MAIN]
        self.forbidden[child] = {region: set(parent[region]) for region in parent}

    def exit(self, child):
        """Write the end of a child."""
        self.say(f"exit {child}")
        del self.forbidden[child]

    def cpu(self, process=MAIN):
        """Write that a process moves to any CPU."""
        self.say(f"cpu {self.node()}", process)

    def touch(self, region, part=None, access=None, stride=None, process=MAIN):
        """Write accesses to a part, if the process may access all of it."""
        forbidden = self.forbidden[process][region]
        for _ in range(TRIES):
            first, count = part or self.cut(region)
            if forbidden.isdisjoint(range(first, first + count)):
                break
        else:
            return
        access = access or self.one("r", "w", "w")
        stride = stride or self.one("4K", "4K", "4K", "8K", "12K", "2M")
        text = f"touch {region} {first}p {count}p {stride} {access}"
        self.say(text, process)

    def fill(self, region, access="w"):
        """Write accesses to all of a region, from one CPU to three."""
        parts = self.random.randint(1, 3)
        pages = self.pages[region]
        ends = sorted(self.random.sample(range(1, pages), parts - 1)) + [pages]
        first = 0
        for end in ends:
            self.cpu()
            self.touch(region, (first, end - first), access, "4K")
            first = end

    def advise(self, region, advice, part=None, process=MAIN):
        """Write an advice about a part, or about all of a region."""
        where = f" {part[0]}p {part[1]}p" if part else ""
        self.say(f"advise {region} {advice}{where}", process)

    def policy(self, region, process=MAIN, flags=("", "", "move", "strict")):
        """Write a policy of a region, or of a part."""
        mode = self.one(*MODES)
        nodes = "" if mode in ("local", "default") else f" {self.node_list()}"
        if mode == "preferred":
            nodes = f" {self.node()}"
        flag = self.one(*flags)
        text = f"policy {region} {mode}{nodes} {flag}".rstrip()
        if self.chance(0.6):
            text += " at {}p {}p".format(*self.cut(region))
        self.say(text, process)

    def move(self, region, process=MAIN):
        """Write a move of a part to any node."""
        first, count = self.cut(region)
        self.say(f"move {region} {first}p {count}p {self.node()}", process)

    def migrate(self, process=MAIN):
        """Write a move of a process's pages from some nodes to others."""
        self.say(f"migrate {self.node_list()} {self.node_list()}", process)

    def protect(self, region, protection, process=MAIN):
        """Write a protection of a part."""
        first, count = self.cut(region)
        self.say(f"protect {region} {first}p {count}p {protection}", process)
        part = set(range(first, first + count))
        if protection == "rw":
            self.forbidden[process][region] -= part
        else:
            self.forbidden[process][region] |= part

    def unmap(self, region, process=MAIN):
        """Write that a part is unmapped."""
        first, count = self.cut(region)
        count = min(count, self.pages[region] // 2)
        self.say(f"unmap {region} {first}p {count}p", process)
        self.forbidden[process][region].update(range(first, first + count))

    def khugepaged(self):
        """Write that khugepaged looks at everything."""
        self.say("khugepaged 3")

    def observe(self):
        """Write that every process observes every region, and the counters."""
        for process in self.forbidden:
            for region in self.forbidden[process]:
                self.say(f"observe {region}", process)
        self.say("counters")

    def patterns(self, region):
        """Write accesses that leave each huge page of a region in another state."""
        for first in range(0, self.pages[region], PAGES_PER_HUGE):
            pages = min(PAGES_PER_HUGE, self.pages[region] - first)
            self.cpu()
            kind = self.one("none", "part", "nodes", "zeros", "holes", "all")
            some = self.random.randint(1, pages)
            if kind == "zeros":
                self.touch(region, (first, pages), "r", "4K")
            if kind in ("part", "nodes", "zeros"):
                self.touch(region, (first, some), "w", "4K")
            if kind == "nodes" and some < pages:
                self.cpu()
                self.touch(region, (first + some, pages - some), "w", "4K")
            if kind == "holes":
                stride = self.one("8K", "12K", "64K")
                self.touch(region, (first, pages), "w", stride)
            if kind == "all":
                self.touch(region, (first, pages), "w", "4K")
