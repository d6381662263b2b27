"""The machine that sysfs describes: this host's, a folder's, an archive's."""

import os
import posixpath
import re
from collections.abc import Sequence

from ..errors import BadInput
from . import tree
from .firmware import (
    Firmware,
    from_firmware,
    mask_list,
    number_list,
    numbers_in,
    warn,
)
from .machine import LOCAL_DISTANCE, Machine
from .tree import Tree

_NODES = "devices/system/node"
_CPUS = "devices/system/cpu"
_TIERS = "devices/virtual/memory_tiering"
#: HMAT from the nearest CPUs; access0 is from the nearest initiator, maybe a GPU.
_INITIATORS = ("access1/initiators", "access0/initiators")

#: The files that are read, behind any path.
_WANTED = re.compile(
    r"(?:.*/)?(?:node[0-9]+/(?:meminfo|cpulist|cpumap|distance)"
    r"|node[0-9]+/access[01]/initiators/(?:read_latency|read_bandwidth)"
    r"|node/online|online|cpu/online|cpu/cpu[0-9]+|proc/meminfo"
    r"|memory_tiering/memory_tier[0-9]+/nodelist)"
)


def wanted(path: str) -> bool:
    """Tell whether a path may be of a file that describes nodes."""
    return _WANTED.fullmatch(path) is not None


def from_sysfs(root: str | os.PathLike = "/sys") -> Machine:
    """Return the machine of a folder: ``node*/{meminfo,cpulist,distance}`` in it.

    ``root`` is such a folder, or one that has it at devices/system/node or below
    sys/.  Without ``cpulist`` there may be ``cpumap``, without ``online`` all nodes
    are.  Nodes and CPUs keep their numbers.  MemTotal does not count what the kernel
    took at boot, so the system takes only one pageblock of 2 MiB from each node.
    Latency and bandwidth are those of HMAT (``access1/initiators``), otherwise
    estimates (``from_slit``); the tiers are those of ``memory_tiering`` if that is
    there.

    Raises BadInput if a file is missing or cannot be understood.
    """
    found = tree.folder(root, wanted)
    name = "host" if str(root) == "/sys" else posixpath.basename(str(root))
    return from_firmware(name, tree_facts(found))


def tree_facts(files: Tree) -> Firmware:
    """Return what a tree says of the nodes; BadInput if it cannot be understood."""
    folder = _node_folder(files)
    top = folder.removesuffix(_NODES) if folder.endswith(_NODES) else None
    if top is None and folder:
        top = posixpath.join(posixpath.dirname(folder), "")
    online = _online_cpus(files, top)
    there = _present(files, folder)
    if not there:
        return _one_node(files, top, online)
    numbers = _online(files, folder, there)
    places = [posixpath.join(folder, f"node{number}") for number in numbers]
    return Firmware(
        numbers,
        [_size(files, place) for place in places],
        [_cpus(files, place, online) for place in places],
        _distance(files, places, numbers),
        _tiers(files, top, numbers),
        [_hmat(files, place, "read_latency", 1) for place in places],
        [_hmat(files, place, "read_bandwidth", 1_000_000) for place in places],
    )


def _node_folder(files: Tree) -> str:
    """Return the path of the folder that has node0, node1, ..."""
    found = {
        posixpath.dirname(posixpath.dirname(path))
        for path in files.paths
        if re.search(r"(?:^|/)node[0-9]+/(?:meminfo|cpulist|cpumap)$", path)
    }
    usual = {path for path in found if path.endswith(_NODES)}
    found = usual or found
    if len(found) > 1:
        raise BadInput(
            f"machine must be of one computer, got {files.name} with"
            f" {', '.join(sorted(found)[:3])}"
        )
    if found:
        return found.pop()
    cpus = [path for path in files.paths if f"{_CPUS}/" in path]
    if not cpus:
        raise BadInput(
            "machine must be a folder such as /sys/devices/system/node, got"
            f" {files.name}, which has no node0/meminfo"
        )
    return min(cpus).partition(_CPUS)[0] + _NODES


def _present(files: Tree, folder: str) -> list[int]:
    """Return the numbers of the nodes that have a folder."""
    pattern = re.compile(re.escape(posixpath.join(folder, "node")) + "([0-9]+)/.*")
    matches = map(pattern.fullmatch, files.paths)
    return sorted({int(match[1]) for match in matches if match})


def _online(files: Tree, folder: str, there: Sequence[int]) -> list[int]:
    """Return the nodes that are online: those of a list that have a folder."""
    path = posixpath.join(folder, "online")
    text = files.read(path)
    if text is None:
        return list(there)
    listed = number_list(text, path)
    return [number for number in there if number in listed] or list(there)


def _online_cpus(files: Tree, top: str | None) -> set[int] | None:
    """Return the CPUs that are online; None if that is not known."""
    if top is None:
        return None
    path = f"{top}{_CPUS}/online"
    text = files.read(path)
    return None if not text or not text.strip() else set(number_list(text, path))


def _one_node(files: Tree, top: str | None, online: set[int] | None) -> Firmware:
    """Return the one node of a machine whose kernel knows no NUMA."""
    pattern = re.compile(rf".*{_CPUS}/cpu([0-9]+)")
    matches = map(pattern.fullmatch, files.paths)
    cpus = online or {int(match[1]) for match in matches if match}
    meminfo = posixpath.join(posixpath.dirname((top or "").rstrip("/")), "proc/meminfo")
    total = re.search(r"MemTotal:\s+(\d{1,15}) kB", files.read(meminfo) or "")
    sizes = [int(total[1]) * 1024] if total else None
    return Firmware([0], sizes, [sorted(cpus)])


def _size(files: Tree, place: str) -> int:
    text = files.read(f"{place}/meminfo")
    if text is None:
        raise BadInput(f"{files.name}/{place}/meminfo must be there, got none")
    total = re.search(r"MemTotal:\s+(\d{1,15}) kB", text)
    if total is None:
        raise BadInput(
            f"{files.name}/{place}/meminfo must have a line MemTotal, got none"
        )
    return int(total[1]) * 1024


def _cpus(files: Tree, place: str, online: set[int] | None) -> list[int]:
    """Return the CPUs of a node that are online."""
    path = f"{files.name}/{place}/cpulist"
    text = files.read(f"{place}/cpulist")
    if text is not None:
        cpus = number_list(text, path)
    else:
        text = files.read(f"{place}/cpumap")
        cpus = () if text is None else mask_list(text, path.replace("list", "map"))
    return [cpu for cpu in cpus if online is None or cpu in online]


def _distance(
    files: Tree, places: Sequence[str], numbers: Sequence[int]
) -> list[list[int]] | None:
    """Return the SLIT; None, with a warning, if a row is not of these nodes."""
    rows = []
    for place in places:
        text = files.read(f"{place}/distance")
        row = _row(text, numbers)
        if row is None:
            warn(
                f"{files.name}/{place}/distance should have {len(numbers)} numbers, got"
                f" {(text or 'no file').strip()[:80]!r}: distances are taken to be 10"
                " and 20, as Linux does without a SLIT"
            )
            return None
        rows.append(row)
    if any(row[i] != LOCAL_DISTANCE for i, row in enumerate(rows)):
        warn(
            f"{files.name} should have distances of 10 from each node to itself:"
            " distances are taken to be 10 and 20, as Linux does"
        )
        return None
    return rows


def _row(text: str | None, numbers: Sequence[int]) -> list[int] | None:
    """Return the distances to ``numbers``, of all nodes online or by their number."""
    row = numbers_in(text or "")
    if row is None or len(row) < len(numbers):
        return None
    if len(row) == len(numbers):
        return row
    return [row[number] for number in numbers] if len(row) > max(numbers) else None


def _tiers(files: Tree, top: str | None, numbers: Sequence[int]) -> list[int] | None:
    """Return the memory tiers, from 0 on, if the kernel told them."""
    found: dict[int, int] = {}
    for path in files.paths:
        match = re.fullmatch(r".*memory_tiering/memory_tier([0-9]+)/nodelist", path)
        if match and top is not None and path.startswith(top):
            text = files.read(path) or ""
            found |= dict.fromkeys(number_list(text, path), int(match[1]))
    if not found:
        return None
    ranks = sorted({found[number] for number in numbers if number in found})
    return [ranks.index(found[n]) if n in found else 0 for n in numbers]


def _hmat(files: Tree, place: str, name: str, unit: int) -> int | None:
    """Return a figure of HMAT for a node; None if there is none."""
    for folder in _INITIATORS:
        text = (files.read(f"{place}/{folder}/{name}") or "").strip()
        if re.fullmatch(r"[1-9][0-9]{0,8}", text):
            return int(text) * unit
    return None
