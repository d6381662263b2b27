"""A machine of what firmware says: sizes, CPUs and distances of its nodes."""

import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import BadInput
from ..settings.sizes import format_size
from .machine import (
    BLOCK,
    LEAST_NODE,
    LOCAL_DISTANCE,
    MAX_CPUS,
    MAX_NODES,
    Machine,
    from_slit,
    slit_matrix,
)

#: REMOTE_DISTANCE (include/linux/topology.h): what Linux takes without a SLIT.
REMOTE_DISTANCE = 20


class Firmware(NamedTuple):
    """What a text or a folder says of a machine's N nodes, in the order of ``numbers``.

    numbers    what the machine calls them, rising
    sizes      bytes of memory of each; None: it does not say
    cpu_lists  CPU numbers of each
    distance   N rows of SLIT; None: it does not say, or Linux would not believe it
    tier       memory tier of each; None: it does not say
    latency    ns of an access to each from the nearest CPUs, None where unknown
    bandwidth  bytes/s of the same
    """

    numbers: Sequence[int]
    sizes: Sequence[int] | None
    cpu_lists: Sequence[Sequence[int]]
    distance: Sequence[Sequence[int]] | None = None
    tier: Sequence[int] | None = None
    latency: Sequence[int | None] | None = None
    bandwidth: Sequence[int | None] | None = None


def from_firmware(name: str, found: Firmware) -> Machine:
    """Return the machine that is described, in whole pageblocks.

    A node with less than 4 MiB is one without memory: its CPUs take theirs from the
    nodes of its own zonelist.  Raises BadInput if no node has memory, if a CPU is on
    two nodes, if there are too many nodes.
    """
    nodes = len(found.numbers)
    if nodes > MAX_NODES:
        raise BadInput(f"{name} must have {MAX_NODES} nodes at most, got {nodes}")
    sizes = tuple(found.sizes or ())
    if not any(size >= LEAST_NODE for size in sizes):
        raise BadInput(
            f"memory of {name} must be {format_size(LEAST_NODE)} on a node at least, "
            f"got {', '.join(map(format_size, sizes)) or 'no node'}"
        )
    if not any(found.cpu_lists):
        raise BadInput(
            f"{name} must say which CPUs are on which node, got none: set their numbers"
            " by node, such as machine.cpus=8,8"
        )
    _refuse_shared_cpus(name, found)
    memory = [size // BLOCK * BLOCK if size >= LEAST_NODE else 0 for size in sizes]
    return from_slit(
        name,
        memory=memory,
        cpus=[len(cpus) for cpus in found.cpu_lists],
        distance=slit_matrix(found.distance or default_distance(nodes), nodes),
        system=[BLOCK if size else 0 for size in memory],
        cpu_lists=tuple(map(tuple, found.cpu_lists)),
        numbers=tuple(found.numbers),
    )


def default_distance(nodes: int) -> list[list[int]]:
    """Return the distances that Linux takes without a SLIT."""
    here, there = LOCAL_DISTANCE, REMOTE_DISTANCE
    return [[here if a == b else there for b in range(nodes)] for a in range(nodes)]


def warn(text: str) -> None:
    """Say something about a machine that its user should know."""
    warnings.warn(text, UserWarning, stacklevel=3)


def numbers_in(text: str) -> list[int] | None:
    """Return the numbers of ``text``, None if something else is in it."""
    parts = text.split()
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        return None
    return [int(part) for part in parts]


def number_list(text: str, name: str) -> tuple[int, ...]:
    """Return the numbers of ``text``, such as ``0-3,8`` or ``0 1 2 3 8``, in order."""
    numbers: list[int] = []
    for part in text.replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            raise BadInput(
                f"{name} must be a list of numbers such as 0-3,8, "
                f"got {text.strip()[:80]!r}"
            )
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(numbers)


def mask_list(text: str, name: str) -> tuple[int, ...]:
    """Return the numbers of a mask such as ``00000000,0000000f`` or ``0x3,``."""
    words = [word.removeprefix("0x") for word in text.strip().split(",")]
    if len(words) > 1 and words[0] == "":
        words[0] = "0"
    words = [word or "0" for word in words]
    if not all(re.fullmatch(r"[0-9a-fA-F]{1,8}", word) for word in words[-MAX_CPUS:]):
        raise BadInput(
            f"{name} must be a mask such as 00000000,0000000f, "
            f"got {text.strip()[:80]!r}"
        )
    mask = 0
    for word in words[-(MAX_CPUS // 32) :]:
        mask = mask << 32 | int(word, 16)
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _refuse_shared_cpus(name: str, found: Firmware) -> None:
    home: dict[int, int] = {}
    for number, cpus in zip(found.numbers, found.cpu_lists, strict=True):
        for cpu in cpus:
            if cpu in home:
                raise BadInput(
                    f"{name} must have each CPU on one node, got CPU {cpu} on nodes"
                    f" {home[cpu]} and {number}"
                )
            home[cpu] = number
