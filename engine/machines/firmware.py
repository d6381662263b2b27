"""Latencies and bandwidths that firmware reports (HMAT)."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import BadInput
from ..settings.sizes import format_size
from .machine import BLOCK, LEAST_NODE, Machine, from_slit, slit_matrix


def from_firmware(
    name: str,
    sizes: Sequence[int],
    cpu_lists: Sequence[Sequence[int]],
    distance: npt.ArrayLike,
) -> Machine:
    """Return a machine of the nodes that have memory, in whole pageblocks.

    ``sizes`` are bytes; a node with less than 4 MiB is left out, and its CPUs go to the
    nearest node.  Raises BadInput if no node has memory.
    """
    kept = [node for node, size in enumerate(sizes) if size >= LEAST_NODE]
    if not kept:
        raise BadInput(
            f"memory of {name} must be {format_size(LEAST_NODE)} on a node at least, "
            f"got {', '.join(map(format_size, sizes)) or 'no node'}"
        )
    slit = slit_matrix(distance, len(sizes))
    lists: dict[int, list[int]] = {node: [] for node in kept}
    for node, cpus in enumerate(cpu_lists):
        nearest = min(kept, key=lambda other: (other != node, slit[node, other]))
        lists[nearest].extend(cpus)
    return from_slit(
        name,
        memory=[sizes[node] // BLOCK * BLOCK for node in kept],
        cpus=[len(lists[node]) for node in kept],
        distance=slit[np.ix_(kept, kept)],
        system=(BLOCK,) * len(kept),
        cpu_lists=tuple(map(tuple, lists.values())),
    )


def numbers_in(text: str) -> list[int] | None:
    """Return the numbers of ``text``, None if something else is in it."""
    parts = text.split()
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        return None
    return [int(part) for part in parts]


def number_list(text: str, name: str) -> tuple[int, ...]:
    """Return the numbers of ``text``, such as ``0-3,8`` or ``0 1 2 3 8``."""
    numbers: list[int] = []
    for part in text.replace(",", " ").split():
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if match is None:
            raise BadInput(
                f"{name} must be a list of numbers such as 0-3,8, got {text.strip()!r}"
            )
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(numbers)
