"""What this host gives a run: memory for its variants, CPUs for its threads."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import BadInput
from ..settings.sizes import format_size
from .study import Study, Variant, label

#: Host bytes per mapped page: 8 its PTE, 8 its frame, 4 its place in a cache.
BYTES_PER_PAGE = 20
#: Host bytes per 2 MiB of simulated RAM.
BYTES_PER_BLOCK = 16
#: Limit and usage of memory, in both versions of cgroups.
_SECOND = ("memory.max", "memory.current")
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes")
#: The interpreter, the compiler and the libraries.
BYTES_ALWAYS = 300 << 20


def check_memory(study: Study) -> None:
    """Raise BadInput if this host cannot hold the largest variant of ``study``."""
    check_fits(study, max(study.variants, key=memory_needed))


def check_fits(study: Study, variant: Variant) -> None:
    """Raise BadInput if this host cannot hold a variant of ``study``."""
    needed, available = memory_needed(variant), memory_available()
    if needed > available:
        raise BadInput(
            f"host memory must hold about {format_size(needed)} "
            f"for {label(study.dimension)} {label(variant.name)}{_of_arrays(variant)}, "
            f"got {format_size(int(available))} available"
        )


def _own_bytes(variant: Variant) -> dict[str, int]:
    """Return the bytes of each array of a variant's policy."""
    if variant.policy is None:
        return {}
    from ..doors.own_array import bytes_needed  # the command's help needs no NumPy

    return bytes_needed(variant.policy.arrays, variant.mapped_pages)


def _of_arrays(variant: Variant) -> str:
    """Name the largest array of a variant's policy, if it has any."""
    arrays = _own_bytes(variant)
    name = max(arrays, key=arrays.__getitem__, default="")
    if not name:
        return ""
    return f", {format_size(arrays[name])} of it for array {name} of its policy"


def most_at_once(variants: Sequence[Variant], jobs: int, runs: int) -> int:
    """Return how many of ``runs``, ``jobs`` at most, this host can hold at once.

    Each variant has its share of them, and the largest may meet.  At least 1, which
    ``check_memory`` has seen to.
    """
    available, each = memory_available(), runs // len(variants)
    sizes = [memory_needed(one) for one in variants for _ in range(each)]
    sizes = sorted(sizes, reverse=True)[:jobs]
    while len(sizes) > 1 and sum(sizes) > available:
        sizes.pop()
    return len(sizes)


def memory_needed(variant: Variant) -> int:
    """Return an estimate of the host memory in bytes that ``variant`` takes."""
    blocks = sum(variant.machine.memory) >> 21
    return (
        variant.mapped_pages * BYTES_PER_PAGE
        + blocks * BYTES_PER_BLOCK
        + BYTES_ALWAYS
        + sum(_own_bytes(variant).values())
    )


def memory_available() -> float:
    """Return the bytes that this process may still take: of RAM and of its cgroup."""
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in meminfo)
    available = int(fields["MemAvailable"].split()[0]) << 10
    return min(available, *(_cgroup_room(*place) for place in _cgroups()))


def _cgroups() -> list[tuple[Path, str, str]]:
    """Return (directory, limit, usage) of every cgroup that this process is in."""
    return [
        (Path("/sys/fs/cgroup"), *_SECOND),
        *((place, *_SECOND) for place in _groups("")),
        *((place, *_FIRST) for place in _groups("memory")),
    ]


def _groups(controller: str) -> list[Path]:
    """Return the cgroup of this process and those above it: ``""`` is for version 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root, group = f"/sys/fs/cgroup/{controller}".rstrip("/"), Path(path)
            return [Path(root + str(part)) for part in (group, *group.parents)]
    return []


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


def threads_of_host(jobs: int = 1) -> int:
    """Return the threads of each of ``jobs`` processes: what this one may use, shared.

    The least of the affinity, the quotas of its cgroups and SLURM_CPUS_PER_TASK.
    """
    usable = [len(os.sched_getaffinity(0)), *_quotas()]
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isascii() and slurm.isdigit() and int(slurm):
        usable.append(int(slurm))
    return max(1, min(usable) // jobs)


def _quotas() -> list[int]:
    """Return the CPUs that each cgroup grants, at least 1, if it says so."""
    found = [_quota(*_words(place / "cpu.max")) for place in _groups("")]
    for place in _groups("cpu"):
        files = (place / "cpu.cfs_quota_us", place / "cpu.cfs_period_us")
        found.append(_quota(*(word for file in files for word in _words(file))))
    return [cpus for cpus in found if cpus]


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _quota(quota: str = "max", period: str = "0") -> int:
    """Return the CPUs of a quota in us of each period, 0 for none."""
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return 0
    return max(1, int(quota) // int(period))
