"""The words of the reference: pages, entries, frames, nodes, and what a task and a
shard have.

``docs/model/page.md`` states the rules.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

BLOCK = 512


class NoMemory(Exception):
    """No frame; nothing was changed."""


class SetAside(Exception):
    """The access waits for the barrier; nothing was changed."""


class Page(NamedTuple):
    """As the engine's."""

    kind: str
    node: int = -1
    frame: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    mapcount: int = 0
    entry: int = -1
    count: int = 0
    cache: str = ""
    huge: bool = False
    pmd: bool = False


@dataclass
class Pte:
    """A PTE that is not none: present, zero, swap or parked."""

    kind: str
    payload: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    owes: int = 0
    exclusive: bool = False


@dataclass
class Pmd(Pte):
    """A PMD entry that is not none: a table, a huge page or the huge zero page.

    ``owes`` is a bool here; the folio counts.  ``numa``: the marked entries of a table
    fault together.
    """

    nid: int = 0
    owes: bool = False
    numa: bool = False


@dataclass
class Folio:
    """A huge page; ``mapcount`` counts PMD entries, ``ptes`` frames with a PTE.

    ``last``, ``moved_from`` as of a frame; ``owes``: uses left until it has paid.
    """

    vpn: int
    family: int
    mapcount: int = 0
    active: bool = False
    referenced: bool = False
    age: int | None = None
    compound: bool = False
    deferred: bool = False
    remapped: bool = False
    queued: bool = False
    ptes: int = 0
    owes: int = 0
    moved_from: int = 0
    last: object = None


@dataclass
class Frame:
    """A frame in use, other than those of a folio that no PTE ever mapped.

    ``moved_from``: 1 + the node that it left; ``last``: (pid & 255, CPU) of the last
    hint fault, or ms of the mark on a slow node.
    """

    vpn: int
    family: int
    mapcount: int = 0
    active: bool = False
    referenced: bool = False
    age: int | None = None
    dirty: bool = False
    cache: str = ""
    entry: int = -1
    wedged: bool = False
    compound: bool = False
    moved_from: int = 0
    last: object = None
    shmem: bool = False


@dataclass
class Block:
    """A pageblock: its free frames as bits, frames in use."""

    free: int = (1 << BLOCK) - 1
    used: int = 0


@dataclass
class Node:
    """A node's free memory, lists and hands."""

    first: int
    span: int
    min: int
    low: int
    high: int
    partial: list = field(default_factory=list)
    returned: list = field(default_factory=list)
    virgin: int = 0
    free: int = 0
    hands: list = field(default_factory=lambda: [0, 0])
    fruitless: int = 0
    gens: int = 2
    second: int = 0
    fourth: int = 0
    woken: bool = False
    kcompactd: bool = False
    online: bool = True
    whole_at_start: int = 0
    source: int = 0
    target: int = 0
    considered: int = 0
    defer_shift: int = 0

    @property
    def whole(self):
        """Wholly free blocks."""
        return len(self.returned) + self.span // BLOCK - self.virgin


@dataclass
class Ids:
    """Swap slots or migration-cache entries."""

    total: int
    virgin: int = 0
    stack: list = field(default_factory=list)
    count: dict = field(default_factory=dict)
    frame: dict = field(default_factory=dict)
    peak: int = 0
    used: int = 0

    def take(self):
        """Return an identity of count 0, or None."""
        if self.stack:
            found = self.stack.pop()
        elif self.virgin < self.total:
            found = self.virgin
            self.virgin += 1
        else:
            return None
        self.count[found] = 0
        self.used += 1
        self.peak = max(self.peak, self.used)
        return found

    def give(self, one):
        """Free an identity."""
        del self.count[one]
        self.frame.pop(one, None)
        self.stack.append(one)
        self.used -= 1


@dataclass
class Shard:
    """What a shard holds for a quantum."""

    lent: dict = field(default_factory=dict)
    left: dict = field(default_factory=dict)
    given: dict = field(default_factory=dict)
    freed: list = field(default_factory=list)
    freed_ids: list = field(default_factory=list)
    whole: dict = field(default_factory=dict)
    used_whole: dict = field(default_factory=dict)
    freed_whole: list = field(default_factory=list)
    served: int = 0


@dataclass
class Tlb:
    """Sets of tags, the last used first, and the line of the last miss."""

    sets: dict = field(default_factory=dict)
    line: int = -1

    def misses(self, tag, sets):
        """Look a tag up; tell whether it was missing."""
        tags = self.sets.setdefault((tag * 0x85EBCA6B % (1 << 32)) * sets >> 32, [])
        missing = tag not in tags
        if not missing:
            tags.remove(tag)
        tags.insert(0, tag)
        del tags[4:]
        return missing


@dataclass
class Clock:
    """A task's time and workload."""

    ns: int = 0
    charged: int = 0
    number: int = 0
    load: object = None
    count: int = 0
    until: int = 0
    begun: int = 0
    phases: object = None
    run: int = 0
    mean: int = 0
    quota: int = 0
    refs: int = 1
    stream: bool = False
    computed: int = 0
