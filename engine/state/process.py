"""Processes, tasks, regions and VMAs: the small objects that callers hold.

The kernels' tables are made from them.  Whatever changes one of them in a way that the
tables show is a function or a method here, and marks the tables stale.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ...kernels.knobs import Advice
from ...kernels.words import NONE
from ..errors import BadInput
from .policies import DEFAULT, Policy


@dataclass(eq=False)
class TableState:
    """Whether the kernels' tables still show what the objects of a simulation are."""

    stale: bool = True


@dataclass(eq=False)
class Process:
    """An address space (mm); ``first_vpn`` is where its family's pages begin."""

    id: int
    name: str
    family: int
    first_vpn: int
    span: int
    delta: int
    next_vpn: int
    alive: bool = True
    vmas: list["Vma"] = field(default_factory=list, repr=False)
    tables: TableState = field(default_factory=TableState, repr=False)

    def __post_init__(self) -> None:
        self.tables.stale = True

    def check_alive(self) -> None:
        """Raise BadInput if the process has ended."""
        if not self.alive:
            raise BadInput(f"process {self.name} must be alive, got a dead one")

    def end(self) -> None:
        """Mark the process as dead: it has no VMAs any more."""
        self.alive = False
        set_vmas(self, [])


@dataclass(eq=False)
class Task:
    """A thread, on a CPU; ``policy`` is that of set_mempolicy."""

    id: int
    process: Process
    cpu: int
    policy: Policy = DEFAULT
    tables: TableState = field(default_factory=TableState, repr=False)

    def __post_init__(self) -> None:
        self.tables.stale = True

    def set_policy(self, policy: Policy) -> None:
        """Set the policy of the task."""
        self.policy = policy
        self.tables.stale = True


class Region(NamedTuple):
    """A mapping of ``pages`` pages from virtual page ``first`` of a process."""

    process: Process
    first: int
    pages: int
    name: str = ""

    def of(self, child: Process) -> "Region":
        """Return the same range in a relative by fork."""
        if child.family != self.process.family:
            raise BadInput(
                f"process {child.name} must be a relative of {self.process.name}"
            )
        return self._replace(process=child)


@dataclass(eq=False)
class Shmem:
    """The object behind a shared mapping: pages [first, first + pages) of a family.

    ino   of its inode, which the interleaving of its pages begins with
    vmas  the ranges of its policies (struct shared_policy); their pgoff counts from ino
    row   of the first of them in the kernels' table
    """

    family: int
    first: int
    pages: int
    ino: int
    vmas: list["Vma"] = field(repr=False)
    row: int = -1
    name: str = "of a shared mapping"
    tables: TableState = field(default_factory=TableState, repr=False)

    def set_policy(self, first: int, pages: int, policy: Policy) -> None:
        """Set the policy of a range for all that map it (mpol_set_shared_policy)."""
        change(self, isolate(self, first, pages), policy=policy)
        merge(self)


@dataclass
class Vma:
    """Virtual pages [start, end) with one protection, one policy, one advice.

    shmem   the object of a shared mapping, whose pages are placed by its policies
    """

    start: int
    end: int
    read: bool = True
    write: bool = True
    mof: bool = False
    policy: Policy = DEFAULT
    advice: Advice = Advice.NONE
    shmem: Shmem | None = None
    #: What a page is interleaved by (vm_pgoff), minus its number.
    pgoff: int = 0
    #: Row of what the scanner of NUMA balancing knows of it; -1: none yet.
    numab: int = field(default=-1, compare=False)
    #: What its anonymous pages belong to (anon_vma.py), or NONE before the first; with
    #: all that it has from its parents: (anon_vma, parent of that), the oldest first.
    anon_vma: int = field(default=NONE, compare=False)
    chain: tuple[tuple[int, int], ...] = field(default=(), compare=False)
    #: When it was put into the trees of these: rmap walks go by (start, linked).
    linked: int = field(default=0, compare=False)

    def copy(self, start: int, end: int) -> "Vma":
        """Return the part [start, end) of this VMA, which the scanner never saw."""
        return replace(self, start=start, end=end, numab=-1)


def overlapping(process: Process | Shmem, first: int, pages: int) -> list[Vma]:
    """Return the VMAs of a range; BadInput names the first gap in it."""
    at, end = first, first + pages
    found = [vma for vma in process.vmas if vma.start < end and vma.end > first]
    for vma in found:
        if vma.start > at:
            break
        at = vma.end
    if at < end:
        gap = min([end, *(vma.start for vma in found if vma.start > at)])
        raise BadInput(
            f"pages {first} to {end} of process {process.name} must all be mapped,"
            f" got none at {at} to {gap}"
        )
    return found


def set_vmas(owner: Process | Shmem, vmas: list[Vma]) -> None:
    """Give an owner other VMAs."""
    owner.vmas = vmas
    owner.tables.stale = True


def add(process: Process, vma: Vma) -> None:
    """Add a VMA that lies above all others of a process."""
    process.vmas.append(vma)
    process.tables.stale = True


def change(owner: Process | Shmem, parts: list[Vma], **values: object) -> None:
    """Set attributes, by name, of some of the VMAs of a process or an object."""
    for vma in parts:
        for name, value in values.items():
            setattr(vma, name, value)
    owner.tables.stale = True


def isolate(owner: Shmem, first: int, pages: int) -> list[Vma]:
    """Split the policies at the ends of a range and return those that lie in it.

    Raises BadInput if a page of the range is not mapped.
    """
    overlapping(owner, first, pages)
    end, inside, out = first + pages, [], []
    for vma in owner.vmas:
        cuts = [vma.start, *(at for at in (first, end) if vma.start < at < vma.end)]
        parts = [
            vma.copy(a, b) for a, b in zip(cuts, [*cuts[1:], vma.end], strict=True)
        ]
        out += parts
        inside += [part for part in parts if first <= part.start and part.end <= end]
    set_vmas(owner, out)
    return inside


def merge(owner: Shmem) -> None:
    """Join adjacent policies that are alike in all but range."""
    merged: list[Vma] = []
    for vma in owner.vmas:
        last = merged[-1] if merged else None
        if last and last.end == vma.start and last == vma.copy(last.start, last.end):
            last.end = vma.end
        else:
            merged.append(vma)
    set_vmas(owner, merged)
