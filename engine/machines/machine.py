"""The machine: its nodes, their memory, CPUs and distances.

SLIT distances order the nodes, as in Linux; they are not nanoseconds, so latency and
bandwidth are matrices of their own.

Figures: SPR-class two-socket, 108.2 ns local and 195.7 ns remote at SLIT 21
(stevescargall.com); 225 GB/s over the two sockets of a Platinum 8269, and 69.3 against
34.4 GB/s local and remote on another two-socket Xeon (Intel MLC outputs); CXL 170 to
250 ns (Hot Chips 34); DRAM and CXL sizes and distances 10/32/50/60 of an AMD Zen 5 host
(linux-mm, pghot series); a PCIe 5.0 x16 link moves 64 GB/s.
"""

import operator
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import numpy.typing as npt

from ...kernels.words import HPAGE_PMD_NR, PAGE_SIZE
from ..errors import BadInput
from ..settings.sizes import format_size
from .zones import fallback_order

#: Nodes that fit the sign-free masks of the kernels.
MAX_NODES = 62
#: MAX_NUMNODES of Linux with NODES_SHIFT 10: node numbers are below it.
MAX_NODE_NUMBERS = 1024
#: NR_CPUS of Linux on x86-64 with MAXSMP.
MAX_CPUS = 8192
#: Frame numbers have 40 bits.
MAX_MEMORY = PAGE_SIZE << 40

MIB = 1 << 20
GIB = 1 << 30
#: Node sizes are whole pageblocks, one of them for the system and one to use at least.
BLOCK = HPAGE_PMD_NR * PAGE_SIZE
LEAST_NODE = 2 * BLOCK

LOCAL_DISTANCE = 10
_MAX_DISTANCE = 255

_DRAM_BANDWIDTH = 112_500_000_000
CXL_BANDWIDTH = 64_000_000_000
LINK_BANDWIDTH = 56_000_000_000
LINK_DISTANCE = 21
#: 108 ns local and 196 ns at 21.
NS_PER_DISTANCE = 8


@dataclass(frozen=True, eq=False)
class Machine:
    """A NUMA machine of N nodes; everything is indexed by node, from 0.

    name        what the output calls it
    memory      bytes of RAM of each node, a multiple of 4096; 0 for a node that has
                CPUs alone
    system      bytes of it that no process gets (kernel, init), a multiple of 4096
    cpus        CPUs of each node; 0 for a node of memory only, such as CXL
    distance    int64[N, N], SLIT: row the node of the CPU, column that of the memory
    latency_ns  int64[N, N], ns of one unloaded access, rows and columns as above
    bandwidth   int64[N, N], bytes/s: of the node's memory on the diagonal, of the link
                between the nodes elsewhere
    tier        memory tier of each node, 0 the fastest
    cpu_lists   the numbers of each node's CPUs; None: counted node by node
    numbers     what the machine itself calls its nodes, rising; None: 0 to N - 1

    Raises BadInput, with the name of the field, if one is malformed or out of range.
    Warns (UserWarning) if the SLIT is not symmetric, which ACPI and Linux allow.
    """

    name: str
    memory: tuple[int, ...]
    system: tuple[int, ...]
    cpus: tuple[int, ...]
    distance: np.ndarray = field(repr=False)
    latency_ns: np.ndarray = field(repr=False)
    bandwidth: np.ndarray = field(repr=False)
    tier: tuple[int, ...]
    cpu_lists: tuple[tuple[int, ...], ...] | None = field(default=None, repr=False)
    numbers: tuple[int, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._set("memory", _memory(self.memory))
        self._set("system", _system(self.system, self.memory))
        self._set("cpus", _cpus(self.cpus, self.nodes))
        self._set("distance", slit_matrix(self.distance, self.nodes))
        for name in ("latency_ns", "bandwidth"):
            self._set(name, _positive_matrix(getattr(self, name), name, self.nodes))
        tier = _per_node(self.tier, "tier", self.nodes)
        _refuse_negative(tier, "tier")
        self._set("tier", tier)
        if self.cpu_lists is not None:
            self._set("cpu_lists", _cpu_lists(self.cpu_lists, self.cpus))
        if self.numbers is not None:
            self._set("numbers", _numbers(self.numbers, self.nodes))
        _warn_if_asymmetric(self.distance, self.node_numbers)

    def _repr_html_(self) -> str:
        """Return the nodes as a table, as a notebook shows it."""
        of_nodes = zip(
            self.node_numbers, self.cpus, self.memory, self.tier, strict=True
        )
        rows = (
            f"<tr><td>{number}</td><td>{cpus}</td><td>{format_size(memory)}</td>"
            f"<td>{tier}</td></tr>"
            for number, cpus, memory, tier in of_nodes
        )
        return (
            f"<table><caption>{escape(self.name)}</caption><tr><th>node</th>"
            f"<th>CPUs</th><th>memory</th><th>tier</th></tr>{''.join(rows)}</table>"
        )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.memory)

    @property
    def node_numbers(self) -> tuple[int, ...]:
        """What the machine itself calls its nodes."""
        return tuple(range(self.nodes)) if self.numbers is None else self.numbers

    @property
    def pages(self) -> np.ndarray:
        """Frames of each node, those of the system included: int64[N]."""
        return np.array(self.memory, dtype=np.int64) // PAGE_SIZE

    @property
    def cpu_node(self) -> np.ndarray:
        """Node of each CPU: int64[highest CPU number + 1], -1 if there is no CPU."""
        if self.cpu_lists is None:
            return np.repeat(np.arange(self.nodes), self.cpus)
        nodes = np.full(1 + max(map(max, filter(None, self.cpu_lists))), -1, np.int64)
        for node, cpus in enumerate(self.cpu_lists):
            nodes[list(cpus)] = node
        return nodes

    @property
    def top_tier(self) -> int:
        """The slowest tier that has CPUs at its memory: it and faster ones are top.

        -1 if no node has both, as ``top_tier_adistance`` is then below every tier
        (``establish_demotion_targets``, mm/memory-tiers.c, Linux 6.12).
        """
        nodes = zip(self.tier, self.cpus, self.memory, strict=True)
        return max((tier for tier, cpus, size in nodes if cpus and size), default=-1)

    def zonelist(self, accumulated: bool = True) -> np.ndarray:
        """Return each node's fallback order: int64[N, N], row the preferred node.

        As ``build_zonelists`` and ``find_next_best_node`` (Linux 6.12,
        mm/page_alloc.c) do it when all lists are built from node 0 on: the node
        itself, then by distance; a node below the local one and a node with CPUs count
        one more each, and equals take turns by ``node_load``, which all lists share.
        Nodes without memory have a list and are in none; their numbers fill its end.
        ``accumulated``: see ``fallback_order``.
        """
        nodes = np.arange(self.nodes)
        has_memory = np.array(self.memory) > 0
        below = (nodes < nodes[:, None]).astype(np.int64)
        has_cpus = (np.array(self.cpus) > 0).astype(np.int64)
        node_load = np.zeros(self.nodes, dtype=np.int64)
        # No node gets a load above the number of nodes: it decides between equals only.
        score = (self.distance + below + has_cpus) * (MAX_NODES + 1)
        return np.array(
            [
                fallback_order(
                    int(node),
                    self.distance[node],
                    score[node],
                    node_load,
                    has_memory,
                    accumulated,
                )
                for node in nodes
            ]
        )


def node_at(machine: Machine, number: int) -> int | None:
    """Return the node that the machine itself calls by a number; None: it has none."""
    numbers = machine.node_numbers
    return numbers.index(number) if number in numbers else None


def cpus_of(machine: Machine, node: int) -> list[int]:
    """Return the CPU numbers of a node, in order."""
    return np.flatnonzero(machine.cpu_node == node).tolist()


def from_slit(
    name: str,
    memory: Sequence[int],
    cpus: Sequence[int],
    distance: npt.ArrayLike,
    system: Sequence[int] | None = None,
    cpu_lists: tuple[tuple[int, ...], ...] | None = None,
    numbers: tuple[int, ...] | None = None,
) -> Machine:
    """Return a machine of which only the SLIT is known; arguments as in ``Machine``.

    Estimates: latency is 108 ns and 8 ns for each unit of distance above 10, which
    gives 196 ns at 21 (measured: 108.2 and 195.7); a link has 56 GB/s at distance 21
    and less in proportion farther off, and never more than the memory behind it, which
    has 112.5 GB/s.  A node without CPUs has the tier of DRAM, 0, as Linux gives it to
    all memory that firmware reports (``set_node_memory_tier``, mm/memory-tiers.c 6.12).

    ``system`` is 1/64 of each node by default, in whole pageblocks: the kernel's
    64-byte ``struct page`` for each 4096 bytes.  Raises BadInput as ``Machine`` does.
    """
    memory = _memory(memory)
    cpus = _cpus(cpus, len(memory))
    distance = slit_matrix(distance, len(memory))
    link = LINK_BANDWIDTH * LINK_DISTANCE // distance
    bandwidth = np.minimum(link, _DRAM_BANDWIDTH)
    np.fill_diagonal(bandwidth, _DRAM_BANDWIDTH)
    return Machine(
        name=name,
        memory=memory,
        system=default_system(memory) if system is None else tuple(system),
        cpus=cpus,
        distance=distance,
        latency_ns=108 + NS_PER_DISTANCE * (distance - LOCAL_DISTANCE),
        bandwidth=bandwidth,
        tier=(0,) * len(memory),
        cpu_lists=cpu_lists,
        numbers=numbers,
    )


# --- sizes ----------------------------------------------------------------------------


def split_cpus(total: int, shares: Sequence[int], name: str) -> tuple[int, ...]:
    """Return ``total`` bytes split in the proportions of ``shares``, in pageblocks."""
    some = [share for share in shares if share]
    least = -(-LEAST_NODE * sum(some) // min(some))
    if total < least:
        raise BadInput(
            f"memory must be at least {format_size(least)} for the {len(some)} nodes "
            f"of {name}, got {format_size(total)}"
        )
    return tuple(total * share // sum(shares) // BLOCK * BLOCK for share in shares)


def default_system(memory: Sequence[int]) -> tuple[int, ...]:
    """Return the bytes that the system takes of each node: 1/64, in pageblocks."""
    return tuple(-(-size // 64 // BLOCK) * BLOCK for size in memory)


# --- checks of the fields -------------------------------------------------------------


def _per_node(values: Iterable[int], name: str, nodes: int) -> tuple[int, ...]:
    try:
        numbers = tuple(operator.index(value) for value in values)
    except TypeError:
        raise BadInput(
            f"{name} must be whole numbers, one for each node, got {values!r}"
        ) from None
    if len(numbers) != nodes:
        raise BadInput(
            f"{name} must have {nodes} entries, one for each node, got {len(numbers)}"
        )
    return numbers


def _refuse_negative(numbers: tuple[int, ...], name: str) -> None:
    for node, number in enumerate(numbers):
        if number < 0:
            raise BadInput(f"{name}[{node}] must not be negative, got {number}")


def _memory(values: Sequence[int]) -> tuple[int, ...]:
    try:
        nodes = len(values)
    except TypeError:
        raise BadInput(
            f"memory must be bytes, one number for each node, got {values!r}"
        ) from None
    if not 1 <= nodes <= MAX_NODES:
        raise BadInput(f"memory must be of 1 to {MAX_NODES} nodes, got {nodes}")
    memory = _per_node(values, "memory", nodes)
    for node, size in enumerate(memory):
        if size < 0 or size % PAGE_SIZE:
            raise BadInput(
                f"memory[{node}] must be a multiple of {PAGE_SIZE}, got {size}"
            )
    if not any(memory):
        raise BadInput("memory must be on a node at least, got none")
    if sum(memory) > MAX_MEMORY:
        raise BadInput(
            f"memory must be {format_size(MAX_MEMORY)} in all at most, "
            f"got {format_size(sum(memory))}"
        )
    return memory


def _system(values: Iterable[int], memory: tuple[int, ...]) -> tuple[int, ...]:
    system = _per_node(values, "system", len(memory))
    for node, (taken, size) in enumerate(zip(system, memory, strict=True)):
        if not 0 <= taken < max(size, 1) or taken % PAGE_SIZE:
            raise BadInput(
                f"system[{node}] must be a multiple of {PAGE_SIZE} below the node's "
                f"memory of {size}, got {taken}"
            )
    return system


def _cpus(values: Iterable[int], nodes: int) -> tuple[int, ...]:
    cpus = _per_node(values, "cpus", nodes)
    _refuse_negative(cpus, "cpus")
    if not 1 <= sum(cpus) <= MAX_CPUS:
        raise BadInput(f"cpus must be 1 to {MAX_CPUS} in all, got {sum(cpus)}")
    return cpus


def _cpu_lists(
    values: Sequence[Sequence[int]], cpus: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    try:
        lists = tuple(tuple(map(operator.index, numbers)) for numbers in values)
    except TypeError:
        raise BadInput(
            f"cpu_lists must be a list of CPU numbers for each node, got {values!r}"
        ) from None
    if tuple(map(len, lists)) != cpus:
        raise BadInput(f"cpu_lists must have {cpus} CPUs, got {tuple(map(len, lists))}")
    numbers = [cpu for one in lists for cpu in one]
    if len(set(numbers)) != len(numbers):
        raise BadInput("cpu_lists must name each CPU once, got one that comes twice")
    if not 0 <= min(numbers) <= max(numbers) < MAX_CPUS:
        raise BadInput(
            f"cpu_lists must have numbers from 0 to {MAX_CPUS - 1}, "
            f"got {min(numbers)} to {max(numbers)}"
        )
    return lists


def _numbers(values: Iterable[int], nodes: int) -> tuple[int, ...]:
    numbers = _per_node(values, "numbers", nodes)
    if sorted(set(numbers)) != list(numbers) or not (
        0 <= numbers[0] <= numbers[-1] < MAX_NODE_NUMBERS
    ):
        raise BadInput(
            f"numbers must rise from 0 at least to {MAX_NODE_NUMBERS - 1} at most, "
            f"got {numbers}"
        )
    return numbers


def _matrix(values: npt.ArrayLike, name: str, nodes: int) -> np.ndarray:
    try:
        matrix = np.array(values)
    except ValueError:
        raise BadInput(
            f"{name} must have shape {(nodes, nodes)}, got rows of unequal length"
        ) from None
    if matrix.shape != (nodes, nodes):
        raise BadInput(
            f"{name} must have shape {(nodes, nodes)}, got shape {matrix.shape}"
        )
    if matrix.dtype.kind not in "iu":
        raise BadInput(f"{name} must hold 64-bit integers, got {matrix.dtype}")
    return matrix.astype(np.int64)


def _refuse_first(matrix: np.ndarray, bad: np.ndarray, name: str, rule: str) -> None:
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise BadInput(f"{name}[{i}][{j}] must be {rule}, got {matrix[i, j]}")


def _positive_matrix(values: npt.ArrayLike, name: str, nodes: int) -> np.ndarray:
    matrix = _matrix(values, name, nodes)
    _refuse_first(matrix, matrix <= 0, name, "positive")
    return matrix


def slit_matrix(values: npt.ArrayLike, nodes: int) -> np.ndarray:
    """Return the SLIT as int64[nodes, nodes]; raise BadInput if it is none."""
    matrix = _matrix(values, "distance", nodes)
    outside = (matrix < LOCAL_DISTANCE) | (matrix > _MAX_DISTANCE)
    _refuse_first(matrix, outside, "distance", f"{LOCAL_DISTANCE} to {_MAX_DISTANCE}")
    local = np.eye(nodes, dtype=bool)
    rule = f"{LOCAL_DISTANCE} (ACPI: a node to itself)"
    _refuse_first(matrix, local & (matrix != LOCAL_DISTANCE), "distance", rule)
    return matrix


def _warn_if_asymmetric(distance: np.ndarray, numbers: tuple[int, ...]) -> None:
    pairs = np.argwhere(np.triu(distance != distance.T))
    if len(pairs) == 0:
        return
    i, j = pairs[0]
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    warnings.warn(
        f"distance should be symmetric, got {distance[i, j]} from node {numbers[i]} to "
        f"node {numbers[j]} "
        f"and {distance[j, i]} back{more}",
        UserWarning,
        stacklevel=4,
    )
