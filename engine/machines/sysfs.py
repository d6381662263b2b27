"""The machine that /sys/devices/system/node describes."""

import os
import re
from pathlib import Path

from ..errors import BadInput
from .firmware import from_firmware, number_list, numbers_in
from .machine import Machine


def from_sysfs(root: str | os.PathLike = "/sys/devices/system/node") -> Machine:
    """Return the running machine from ``node*/{meminfo,cpulist,distance}`` in ``root``.

    Online nodes only, numbered anew without holes; CPUs keep their numbers.  A node
    with less than 4 MiB is left out and its CPUs go to the nearest node, from which
    Linux would give them memory.  MemTotal does not count what the kernel took at boot,
    so the system takes only one pageblock of 2 MiB from each node.  Latency, bandwidth
    and tier are estimates: see ``from_slit``.

    Raises BadInput if a file is missing or cannot be understood.
    """
    root = Path(root)
    nodes = number_list(_read(root, "online"), f"{root}/online")
    parts = [_sysfs_node(root, node, len(nodes)) for node in nodes]
    sizes, cpu_lists, distance = zip(*parts, strict=True) if parts else ((), (), ())
    return from_firmware("host", sizes, cpu_lists, distance)


def _read(root: Path, name: str) -> str:
    try:
        return (root / name).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BadInput(
            f"root must be a folder such as /sys/devices/system/node, got {root}: "
            f"{name}: {error.strerror}"
        ) from None


def _sysfs_node(
    root: Path, node: int, nodes: int
) -> tuple[int, tuple[int, ...], list[int]]:
    """Return bytes of memory, CPU numbers and the row of distances of one node."""
    folder = f"node{node}"
    total = re.search(r"MemTotal:\s+(\d{1,15}) kB", _read(root, f"{folder}/meminfo"))
    if total is None:
        raise BadInput(f"{root}/{folder}/meminfo must have a line MemTotal, got none")
    cpus = number_list(_read(root, f"{folder}/cpulist"), f"{root}/{folder}/cpulist")
    text = _read(root, f"{folder}/distance")
    row = numbers_in(text)
    if row is None or len(row) != nodes:
        raise BadInput(
            f"{root}/{folder}/distance must have {nodes} numbers, got {text.strip()!r}"
        )
    return int(total[1]) * 1024, cpus, row
