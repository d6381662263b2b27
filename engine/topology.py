"""The machine: its nodes, their memory, CPUs and distances, and where it comes from.

A machine is a preset, the running one (sysfs), or the output of ``numactl --hardware``.
SLIT distances order the nodes, as in Linux; they are not nanoseconds, so latency and
bandwidth are matrices of their own.

Figures: SPR-class two-socket, 108.2 ns local and 195.7 ns remote at SLIT 21
(stevescargall.com); 225 GB/s over the two sockets of a Platinum 8269, and 69.3 against
34.4 GB/s local and remote on another two-socket Xeon (Intel MLC outputs); CXL 170 to
250 ns (Hot Chips 34); DRAM and CXL sizes and distances 10/32/50/60 of an AMD Zen 5 host
(linux-mm, pghot series); a PCIe 5.0 x16 link moves 64 GB/s.
"""

import operator
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from pathlib import Path

import numpy as np

from ..kernels.constants import HPAGE_PMD_NR, PAGE_SIZE
from .errors import BadInput
from .parameters import did_you_mean
from .sizes import format_size, parse_size

MAX_NODES = 64
#: NR_CPUS of Linux on x86-64 with MAXSMP.
MAX_CPUS = 8192
#: Frame numbers have 40 bits.
MAX_MEMORY = PAGE_SIZE << 40

_MIB = 1 << 20
_GIB = 1 << 30
#: Node sizes are whole pageblocks, one of them for the system and one to use at least.
_BLOCK = HPAGE_PMD_NR * PAGE_SIZE
_LEAST_NODE = 2 * _BLOCK

_LOCAL_DISTANCE = 10
_MAX_DISTANCE = 255

_DRAM_BANDWIDTH = 112_500_000_000
_CXL_BANDWIDTH = 64_000_000_000
_LINK_BANDWIDTH = 56_000_000_000
_LINK_DISTANCE = 21


@dataclass(frozen=True, eq=False)
class Machine:
    """A NUMA machine of N nodes; everything is indexed by node number, from 0.

    name        what the output calls it
    memory      bytes of RAM of each node, a multiple of 4096
    system      bytes of it that no process gets (kernel, init), a multiple of 4096
    cpus        CPUs of each node; 0 for a node of memory only, such as CXL
    distance    int64[N, N], SLIT: row the node of the CPU, column that of the memory
    latency_ns  int64[N, N], ns of one unloaded access, rows and columns as above
    bandwidth   int64[N, N], bytes/s: of the node's memory on the diagonal, of the link
                between the nodes elsewhere
    tier        memory tier of each node, 0 the fastest
    cpu_lists   the numbers of each node's CPUs; None: counted node by node

    Raises BadInput, naming the field, where one is malformed or out of range.  Warns
    (UserWarning) where the SLIT is not symmetric, which ACPI and Linux allow.
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

    def __post_init__(self):
        self._set("memory", _memory(self.memory))
        self._set("system", _system(self.system, self.memory))
        self._set("cpus", _cpus(self.cpus, self.nodes))
        self._set("distance", _slit(self.distance, self.nodes))
        for name in ("latency_ns", "bandwidth"):
            self._set(name, _positive_matrix(getattr(self, name), name, self.nodes))
        tier = _per_node(self.tier, "tier", self.nodes)
        _refuse_negative(tier, "tier")
        self._set("tier", tier)
        if self.cpu_lists is not None:
            self._set("cpu_lists", _cpu_lists(self.cpu_lists, self.cpus))
        _warn_if_asymmetric(self.distance)

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.memory)

    @property
    def pages(self) -> np.ndarray:
        """Frames of each node, those of the system included: int64[N]."""
        return np.array(self.memory, dtype=np.int64) // PAGE_SIZE

    @property
    def cpu_node(self) -> np.ndarray:
        """Node of each CPU: int64[highest CPU number + 1], -1 where there is no CPU."""
        if self.cpu_lists is None:
            return np.repeat(np.arange(self.nodes), self.cpus)
        nodes = np.full(1 + max(map(max, filter(None, self.cpu_lists))), -1, np.int64)
        for node, cpus in enumerate(self.cpu_lists):
            nodes[list(cpus)] = node
        return nodes

    @property
    def top_tier(self) -> int:
        """The slowest tier with CPUs: it and faster ones are top tier.

        ``top_tier_adistance`` (mm/memory-tiers.c, Linux 6.12).
        """
        tiers = [t for t, n in zip(self.tier, self.cpus, strict=True) if n]
        return max(tiers, default=0)

    def zonelist(self) -> np.ndarray:
        """Return each node's fallback order: int64[N, N], row the preferred node.

        As ``build_zonelists`` and ``find_next_best_node`` (Linux 6.12,
        mm/page_alloc.c) do it when all lists are built from node 0 on: the node
        itself, then by distance; a node below the local one and a node with CPUs count
        one more each, and equals take turns by ``node_load``, which all lists share.
        """
        nodes = np.arange(self.nodes)
        below = (nodes < nodes[:, None]).astype(np.int64)
        has_cpus = (np.array(self.cpus) > 0).astype(np.int64)
        node_load = np.zeros(self.nodes, dtype=np.int64)
        # No node gets a load above the number of nodes: it decides between equals only.
        score = (self.distance + below + has_cpus) * (MAX_NODES + 1)
        return np.array(
            [
                _fallback_order(node, self.distance[node], score[node], node_load)
                for node in nodes
            ]
        )


def cpus_of(machine: Machine, node: int) -> list[int]:
    """Return the CPU numbers of a node, in order."""
    return np.flatnonzero(machine.cpu_node == node).tolist()


def watermarks(managed_pages: Sequence[int], thp: bool = False) -> np.ndarray:
    """Return min, low, high and promo of each node's NORMAL zone: int64[N, 4], pages.

    ``managed_pages`` (N, at least one page in all) is what the buddy allocator has on
    each node.  With ``thp`` the reserve is what transparent huge pages ask for, if that
    is more.  Linux 6.12: ``calculate_min_free_kbytes``, ``__setup_per_zone_wmarks``
    (mm/page_alloc.c), ``set_recommended_min_free_kbytes`` (mm/khugepaged.c), with
    ``watermark_scale_factor`` 10 and no boost.
    """
    managed = np.array(managed_pages, dtype=np.int64)
    lowmem_kbytes = int(managed.sum()) * (PAGE_SIZE // 1024)
    min_free_kbytes = min(max(isqrt(lowmem_kbytes * 16), 128), 262144)
    marks = _zone_watermarks(managed, min_free_kbytes)
    if not thp:
        return marks

    # nr_free_buffer_pages() leaves out what lies below the marks set a moment before.
    buffers = int(np.maximum(managed - marks[:, 2], 0).sum())
    wanted = HPAGE_PMD_NR * np.count_nonzero(managed) * (2 + 3 * 3)
    recommended = min(wanted, buffers // 20) * (PAGE_SIZE // 1024)
    return _zone_watermarks(managed, max(min_free_kbytes, int(recommended)))


def from_slit(
    name: str,
    memory: Sequence[int],
    cpus: Sequence[int],
    distance,
    system: Sequence[int] | None = None,
    cpu_lists: Sequence[Sequence[int]] | None = None,
) -> Machine:
    """Return a machine of which only the SLIT is known; arguments as in ``Machine``.

    Estimates: latency is 108 ns and 8 ns for each unit of distance above 10, which
    gives 196 ns at 21 (measured: 108.2 and 195.7); a link has 56 GB/s at distance 21
    and less in proportion farther off, and never more than the memory behind it, which
    has 112.5 GB/s.  A node without CPUs is taken for CXL: 64 GB/s, tier 1.

    ``system`` is 1/64 of each node unless given, in whole pageblocks: the kernel's
    64-byte ``struct page`` for each 4096 bytes.  Raises BadInput as ``Machine`` does.
    """
    memory = _memory(memory)
    cpus = _cpus(cpus, len(memory))
    distance = _slit(distance, len(memory))
    own = np.where(np.array(cpus) > 0, _DRAM_BANDWIDTH, _CXL_BANDWIDTH)
    bandwidth = np.minimum(_LINK_BANDWIDTH * _LINK_DISTANCE // distance, own)
    np.fill_diagonal(bandwidth, own)
    return Machine(
        name=name,
        memory=memory,
        system=_default_system(memory) if system is None else system,
        cpus=cpus,
        distance=distance,
        latency_ns=108 + 8 * (distance - _LOCAL_DISTANCE),
        bandwidth=bandwidth,
        tier=tuple(int(n == 0) for n in cpus),
        cpu_lists=cpu_lists,
    )


def uniform(
    nodes: int,
    memory_per_node: str | int,
    cpus_per_node: int = 1,
    distance: int = 20,
    system_bytes: int = 0,
    name: str = "uniform",
) -> Machine:
    """Return a machine of equal nodes, each ``distance`` from every other.

    ``memory_per_node`` is a size, of which the system takes ``system_bytes``.  Raises
    BadInput as ``Machine`` does.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise BadInput(f"nodes must be 1 to {MAX_NODES}, got {nodes}")
    slit = np.full((nodes, nodes), distance)
    np.fill_diagonal(slit, _LOCAL_DISTANCE)
    memory = parse_size(memory_per_node, "memory_per_node")
    return from_slit(
        name, (memory,) * nodes, (cpus_per_node,) * nodes, slit, (system_bytes,) * nodes
    )


# --- presets ----------------------------------------------------------------


def _all_to_all(a, b):
    return a != b


def _ring(a, b):
    return np.minimum((a - b) % 4, (b - a) % 4)


def _cube(a, b):
    difference = a ^ b
    return (difference & 1) + (difference >> 1 & 1) + (difference >> 2)


def _boards(a, b):
    return np.where(a // 4 == b // 4, a != b, 3)


#: Number of nodes, and hops between two of them (``_boards``: socket, controller,
#: controller, socket).
_SOCKETS: dict[str, tuple[int, Callable]] = {
    "2s": (2, _all_to_all),
    "4s": (4, _all_to_all),
    "4s-ring": (4, _ring),
    "8s": (8, _cube),
    "16-node": (16, _boards),
}
_DRAM_CXL = "dram-cxl"
PRESETS = (*_SOCKETS, _DRAM_CXL)

#: SLIT by hops, as the firmware of such machines has it.
_HOP_DISTANCE = np.array([10, 21, 31, 41])
_PRESET_CPUS = 32
_PRESET_NODE = 256 * _GIB


def preset(name: str, memory: str | int | None = None) -> Machine:
    """Return a machine by name; ``memory`` is the RAM of all its nodes (a size).

    2s        2 sockets
    4s        4 sockets, each linked to each
    4s-ring   4 sockets, each linked to two neighbours
    8s        8 sockets at the corners of a cube, up to 3 hops
    16-node   4 boards of 4 sockets, 3 hops between boards
    dram-cxl  2 sockets with a quarter of the memory each, and a CXL node without CPUs
              with half of it on the first socket, at 210 ns (the middle of the
              published range) from there and 250 ns (its end) from the other

    Nodes are equal but for dram-cxl, have 32 CPUs and 256 GiB (dram-cxl: 512 GiB in
    all) unless ``memory`` is given, and are whole pageblocks of 2 MiB.  SLIT distances
    are 21, 31 and 41 for 1, 2 and 3 hops; the rest is estimated as in ``from_slit``.

    Raises BadInput for an unknown name, a bad size, and less than 4 MiB for a node.
    """
    if name == _DRAM_CXL:
        return _dram_cxl(memory)
    if name not in _SOCKETS:
        raise BadInput(
            f"preset must be one of {', '.join(PRESETS)}, "
            f"got {name!r}{did_you_mean(str(name), PRESETS)}"
        )
    nodes, hops = _SOCKETS[name]
    total = nodes * _PRESET_NODE if memory is None else parse_size(memory, "memory")
    at = np.arange(nodes)
    distance = _HOP_DISTANCE[hops(at[:, None], at[None, :]).astype(np.int64)]
    sizes = _split(total, (1,) * nodes, name)
    return from_slit(name, sizes, (_PRESET_CPUS,) * nodes, distance)


def _dram_cxl(memory: str | int | None) -> Machine:
    total = 2 * _PRESET_NODE if memory is None else parse_size(memory, "memory")
    estimate = from_slit(
        _DRAM_CXL,
        memory=_split(total, (1, 1, 2), _DRAM_CXL),
        cpus=(_PRESET_CPUS, _PRESET_CPUS, 0),
        distance=[[10, 32, 50], [32, 10, 60], [50, 60, 10]],
    )
    # The estimate is for sockets; a CXL device's latency is not that of its SLIT.
    latency = [[108, 196, 210], [196, 108, 250], [210, 250, 210]]
    return replace(estimate, latency_ns=latency)


# --- the machine at hand ----------------------------------------------------


def machine(spec: str, memory: str | int | None = None) -> Machine:
    """Return the machine that ``spec`` means: a preset, ``"host"``, or a file.

    The file has the output of ``numactl --hardware``.  With ``memory``, a size, the
    machine has that much RAM in all, split in the proportions of its nodes.

    Raises BadInput where nothing is found, with the nearest names, or what is found
    cannot be used.
    """
    if spec in PRESETS:
        return preset(spec, memory)
    if spec == "host":
        found = from_sysfs()
    else:
        found = from_numactl(_numactl_file(spec), Path(spec).name)
    if memory is None:
        return found
    sizes = _split(parse_size(memory, "memory"), found.memory, found.name)
    with warnings.catch_warnings():
        # An asymmetric SLIT was warned about when the machine was found.
        warnings.simplefilter("ignore", UserWarning)
        return replace(found, memory=sizes, system=_default_system(sizes))


def from_sysfs(root: str | os.PathLike = "/sys/devices/system/node") -> Machine:
    """Return the running machine from ``node*/{meminfo,cpulist,distance}`` in ``root``.

    Online nodes only, numbered anew without holes; CPUs keep their numbers.  A node
    with less than 4 MiB is left out and its CPUs go to the nearest node, from which
    Linux would give them memory.  MemTotal does not count what the kernel took at boot,
    so the system takes only one pageblock of 2 MiB from each node.  Latency, bandwidth
    and tier are estimates: see ``from_slit``.

    Raises BadInput where a file is missing or cannot be understood.
    """
    root = Path(root)
    nodes = _number_list(_read(root, "online"), f"{root}/online")
    parts = [_sysfs_node(root, node, len(nodes)) for node in nodes]
    sizes, cpu_lists, distance = zip(*parts, strict=True) if parts else ((), (), ())
    return _from_firmware("host", sizes, cpu_lists, distance)


def from_numactl(text: str, name: str = "numactl") -> Machine:
    """Return the machine that ``text``, the output of ``numactl --hardware``, shows.

    Nodes are numbered anew, and what the text does not say is filled in, as in
    ``from_sysfs``.  Raises BadInput, with the line's number and what was expected
    there, for text that is not such output.
    """
    lines = [
        (number, " ".join(line.split()))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    titles = [i for i, (_, line) in enumerate(lines) if line == "node distances:"]
    if len(titles) != 1:
        raise BadInput(
            f"numactl text must have one line 'node distances:', got {len(titles)}"
        )
    facts = _numactl_nodes(lines[: titles[0]])
    numbers, distance = _numactl_distances(lines[titles[0] :])
    _refuse_unequal(facts, numbers)
    sizes = [facts[node]["size"] for node in numbers]
    cpu_lists = [facts[node]["cpus"] for node in numbers]
    return _from_firmware(name, sizes, cpu_lists, distance)


def _from_firmware(name, sizes, cpu_lists, distance) -> Machine:
    """Return a machine of those nodes that have memory, in whole pageblocks."""
    kept = [node for node, size in enumerate(sizes) if size >= _LEAST_NODE]
    if not kept:
        raise BadInput(
            f"memory of {name} must be {format_size(_LEAST_NODE)} on a node at least, "
            f"got {', '.join(map(format_size, sizes)) or 'no node'}"
        )
    distance = _slit(distance, len(sizes))
    lists = {node: [] for node in kept}
    for node, cpus in enumerate(cpu_lists):
        nearest = min(kept, key=lambda other: (other != node, distance[node, other]))
        lists[nearest].extend(cpus)
    return from_slit(
        name,
        memory=[sizes[node] // _BLOCK * _BLOCK for node in kept],
        cpus=[len(lists[node]) for node in kept],
        distance=distance[np.ix_(kept, kept)],
        system=(_BLOCK,) * len(kept),
        cpu_lists=list(lists.values()),
    )


# --- sysfs ------------------------------------------------------------------


def _read(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BadInput(
            f"root must be a folder such as /sys/devices/system/node, got {root}: "
            f"{name}: {error.strerror}"
        ) from None


def _sysfs_node(root: Path, node: int, nodes: int):
    """Return bytes of memory, CPU numbers and the row of distances of one node."""
    folder = f"node{node}"
    total = re.search(r"MemTotal:\s+(\d{1,15}) kB", _read(root, f"{folder}/meminfo"))
    if total is None:
        raise BadInput(f"{root}/{folder}/meminfo must have a line MemTotal, got none")
    cpus = _number_list(_read(root, f"{folder}/cpulist"), f"{root}/{folder}/cpulist")
    text = _read(root, f"{folder}/distance")
    row = _numbers(text)
    if row is None or len(row) != nodes:
        raise BadInput(
            f"{root}/{folder}/distance must have {nodes} numbers, got {text.strip()!r}"
        )
    return int(total[1]) * 1024, cpus, row


def _numbers(text: str) -> list[int] | None:
    parts = text.split()
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        return None
    return [int(part) for part in parts]


def _number_list(text: str, name: str) -> tuple[int, ...]:
    """Return the numbers of ``text``, such as ``0-3,8`` or ``0 1 2 3 8``."""
    numbers = []
    for part in text.replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            raise BadInput(
                f"{name} must be a list of numbers such as 0-3,8, got {text.strip()!r}"
            )
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(numbers)


# --- numactl ----------------------------------------------------------------


def _numactl_file(spec: str) -> str:
    if not os.path.isfile(spec):
        raise BadInput(
            f"machine must be one of {', '.join(PRESETS)}, host or a file with the "
            f"output of numactl --hardware, "
            f"got {str(spec)!r}{did_you_mean(str(spec), (*PRESETS, 'host'))}"
        )
    try:
        with open(spec, encoding="utf-8") as file:
            return file.read(_MIB)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"machine must be a file with the output of numactl --hardware, "
            f"got {str(spec)!r}: {error}"
        ) from None


def _unexpected(number: int, line: str, expected: str) -> BadInput:
    return BadInput(
        f"line {number} of the numactl text must be {expected}, got {line[:80]!r}"
    )


def _numactl_nodes(lines) -> dict[int, dict]:
    """Return {node: {"cpus": CPU numbers, "size": bytes, "free": bytes}}."""
    facts: dict[int, dict] = {}
    for number, line in lines:
        if re.fullmatch(r"available: [0-9]+ nodes?( \(.*\))?", line):
            continue
        match = re.fullmatch(r"node ([0-9]{1,4}) (cpus|size|free):(.*)", line)
        if match is None:
            expected = (
                "'node N cpus: 0 1 ...', 'node N size: X MB' or 'node distances:'"
            )
            raise _unexpected(number, line, expected)
        node = facts.setdefault(int(match[1]), {})
        if match[2] in node:
            raise _unexpected(number, line, f"the only one of node {match[1]}")
        node[match[2]] = _numactl_fact(number, line, match[2], match[3].strip())
    return facts


def _numactl_fact(number: int, line: str, what: str, value: str):
    if what == "cpus":
        return _number_list(value, f"line {number} of the numactl text")
    match = re.fullmatch(r"([0-9]{1,12}) MB", value)
    if match is None:
        raise _unexpected(number, line, f"'node N {what}: X MB'")
    return int(match[1]) * _MIB


def _numactl_distances(lines) -> tuple[list[int], list[list[int]]]:
    """Return the node numbers and the rows of the table below its title."""
    (title_number, title), *lines = lines
    if not lines:
        raise _unexpected(title_number, title, "followed by the table of distances")
    (head_number, head), *rows = lines
    numbers = _numbers(head.removeprefix("node"))
    if not numbers or not head.startswith("node"):
        raise _unexpected(head_number, head, "'node 0 1 ...'")

    distance = []
    for (number, line), node in zip(rows, numbers, strict=False):
        left, _, right = line.partition(":")
        row = _numbers(right)
        if left != str(node) or row is None or len(row) != len(numbers):
            raise _unexpected(number, line, f"'{node}:' and {len(numbers)} distances")
        distance.append(row)
    if len(rows) > len(numbers):
        raise _unexpected(*rows[len(numbers)], "absent: the table of distances is full")
    if len(rows) < len(numbers):
        last_number, last = lines[-1]
        expected = f"followed by the distances of node {numbers[len(rows)]}"
        raise _unexpected(last_number, last, expected)
    return numbers, distance


def _refuse_unequal(facts: dict[int, dict], numbers: list[int]):
    for node in numbers:
        for what in ("cpus", "size"):
            if what not in facts.get(node, {}):
                raise BadInput(
                    f"numactl text must have a line 'node {node} {what}:', got none"
                )
    for node in facts:
        if node not in numbers:
            raise BadInput(f"numactl text must have distances of node {node}, got none")


# --- sizes ------------------------------------------------------------------


def _split(total: int, shares: Sequence[int], name: str) -> tuple[int, ...]:
    """Return ``total`` bytes split in the proportions of ``shares``, in pageblocks."""
    least = -(-_LEAST_NODE * sum(shares) // min(shares))
    if total < least:
        raise BadInput(
            f"memory must be at least {format_size(least)} for the {len(shares)} nodes "
            f"of {name}, got {format_size(total)}"
        )
    return tuple(total * share // sum(shares) // _BLOCK * _BLOCK for share in shares)


def _default_system(memory: Sequence[int]) -> tuple[int, ...]:
    return tuple(-(-size // 64 // _BLOCK) * _BLOCK for size in memory)


# --- zonelist and watermarks ------------------------------------------------


def _fallback_order(local: int, distance, score, node_load) -> np.ndarray:
    """Return the order of the nodes seen from ``local``; add to ``node_load``."""
    order = np.empty(len(distance), dtype=np.int64)
    left = np.ones(len(distance), dtype=bool)
    node = previous = local
    for place in range(len(order)):
        if place > 0:
            # The first of the lowest, as the kernel's strict comparison has it.
            node = np.argmin(np.where(left, score + node_load, np.iinfo(np.int64).max))
        if distance[node] != distance[previous]:
            node_load[node] += 1
        order[place] = previous = node
        left[node] = False
    return order


def _zone_watermarks(managed: np.ndarray, min_free_kbytes: int) -> np.ndarray:
    pages_min = min_free_kbytes // (PAGE_SIZE // 1024)
    minimum = pages_min * managed // managed.sum()
    gap = np.maximum(minimum // 4, managed * 10 // 10000)
    return minimum[:, None] + gap[:, None] * np.arange(4)


# --- checks of the fields ---------------------------------------------------


def _per_node(values, name: str, nodes: int) -> tuple[int, ...]:
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


def _refuse_negative(numbers: tuple[int, ...], name: str):
    for node, number in enumerate(numbers):
        if number < 0:
            raise BadInput(f"{name}[{node}] must not be negative, got {number}")


def _memory(values) -> tuple[int, ...]:
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
        if size <= 0 or size % PAGE_SIZE:
            raise BadInput(
                f"memory[{node}] must be a positive multiple of {PAGE_SIZE}, got {size}"
            )
    if sum(memory) > MAX_MEMORY:
        raise BadInput(
            f"memory must be {format_size(MAX_MEMORY)} in all at most, "
            f"got {format_size(sum(memory))}"
        )
    return memory


def _system(values, memory: tuple[int, ...]) -> tuple[int, ...]:
    system = _per_node(values, "system", len(memory))
    for node, (taken, size) in enumerate(zip(system, memory, strict=True)):
        if not 0 <= taken < size or taken % PAGE_SIZE:
            raise BadInput(
                f"system[{node}] must be a multiple of {PAGE_SIZE} below the node's "
                f"memory of {size}, got {taken}"
            )
    return system


def _cpus(values, nodes: int) -> tuple[int, ...]:
    cpus = _per_node(values, "cpus", nodes)
    _refuse_negative(cpus, "cpus")
    if not 1 <= sum(cpus) <= MAX_CPUS:
        raise BadInput(f"cpus must be 1 to {MAX_CPUS} in all, got {sum(cpus)}")
    return cpus


def _cpu_lists(values, cpus: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
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


def _matrix(values, name: str, nodes: int) -> np.ndarray:
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


def _refuse_first(matrix: np.ndarray, bad: np.ndarray, name: str, rule: str):
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise BadInput(f"{name}[{i}][{j}] must be {rule}, got {matrix[i, j]}")


def _positive_matrix(values, name: str, nodes: int) -> np.ndarray:
    matrix = _matrix(values, name, nodes)
    _refuse_first(matrix, matrix <= 0, name, "positive")
    return matrix


def _slit(values, nodes: int) -> np.ndarray:
    matrix = _matrix(values, "distance", nodes)
    outside = (matrix < _LOCAL_DISTANCE) | (matrix > _MAX_DISTANCE)
    _refuse_first(matrix, outside, "distance", f"{_LOCAL_DISTANCE} to {_MAX_DISTANCE}")
    local = np.eye(nodes, dtype=bool)
    rule = f"{_LOCAL_DISTANCE} (ACPI: a node to itself)"
    _refuse_first(matrix, local & (matrix != _LOCAL_DISTANCE), "distance", rule)
    return matrix


def _warn_if_asymmetric(distance: np.ndarray):
    pairs = np.argwhere(np.triu(distance != distance.T))
    if len(pairs) == 0:
        return
    i, j = pairs[0]
    more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
    warnings.warn(
        f"distance should be symmetric, got {distance[i, j]} from node {i} to node {j} "
        f"and {distance[j, i]} back{more}",
        UserWarning,
        stacklevel=4,
    )
