"""Whether this host has the memory that a study needs."""

from pathlib import Path

from ..errors import BadInput
from ..settings.sizes import format_size
from .study import Study, Variant, label

#: Host bytes per mapped page: 8 its PTE, 8 its frame, 4 its place in a cache.
BYTES_PER_PAGE = 20
#: Host bytes per 2 MiB of simulated RAM.
BYTES_PER_BLOCK = 16
#: The interpreter, the compiler and the libraries.
BYTES_ALWAYS = 300 << 20


def check_memory(study: Study) -> None:
    """Raise BadInput if the host cannot hold the largest variant of ``study``."""
    largest = max(study.variants, key=memory_needed)
    needed, available = memory_needed(largest), memory_available()
    if needed > available:
        raise BadInput(
            f"host memory must hold about {format_size(needed)} "
            f"for {label(study.dimension)} {label(largest.name)}, "
            f"got {format_size(int(available))} available"
        )


def memory_needed(variant: Variant) -> int:
    """Return an estimate of the host memory in bytes that ``variant`` takes."""
    blocks = sum(variant.machine.memory) >> 21
    return (
        variant.mapped_pages * BYTES_PER_PAGE + blocks * BYTES_PER_BLOCK + BYTES_ALWAYS
    )


def memory_available() -> float:
    """Return the bytes that this process may still take: of RAM and of its cgroup."""
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in meminfo)
    available = int(fields["MemAvailable"].split()[0]) << 10
    return min(available, *(_cgroup_room(*place) for place in _cgroups()))


def _cgroups() -> list[tuple[Path, str, str]]:
    """Return (directory, limit, usage) of every cgroup that this process is in."""
    places = [(Path("/sys/fs/cgroup"), "memory.max", "memory.current")]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = "/sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root = "/sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        group = Path(path)
        places += [(Path(root + str(part)), *names) for part in (group, *group.parents)]
    return places


def _cgroup_room(directory: Path, limit: str, usage: str) -> float:
    """Return what a cgroup has left, its page cache counted as free."""
    try:
        most = (directory / limit).read_text().strip()
        used = int((directory / usage).read_text())
        stat = (directory / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return float("inf")
    if most == "max":
        return float("inf")
    pages = dict(line.split() for line in stat)
    cache = int(pages.get("inactive_file", 0)) + int(pages.get("active_file", 0))
    return int(most) - used + cache
