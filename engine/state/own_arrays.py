"""The arrays that users' functions have of their own: allocated, folded, forgotten."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...kernels.words import HPAGE_PMD_ORDER
from ..doors.own_array import FOLDS, Own
from ..errors import BadInput, did_you_mean
from .host_memory import sparse, wipe
from .process import Region

if TYPE_CHECKING:
    from .world import World

#: Words of an array in the table: address, length, bytes from row to row.
WORDS = 3


class OwnArrays:
    """The arrays of one door: what ``mine`` of its functions holds.

    values  by name: of pages and blocks, sparse, an item for each index of a PTE or PMD
            entry; of tasks and nodes, what was there when the quantum began
    new     by name: [S + 1, items], what each shard and the serial half write
    table   int64: the words of all that ``mine`` holds, for kernels
    """

    def __init__(
        self, arrays: Sequence[Own], pages: int, nodes: int, shards: int
    ) -> None:
        self.arrays, self._rows = tuple(arrays), shards + 1
        self.values: dict[str, np.ndarray] = {}
        self.new: dict[str, np.ndarray] = {}
        for one in self.arrays:
            if one.is_folded:
                self.values[one.name] = np.zeros(0, one.dtype)
            else:
                items = pages if one.per == "page" else pages >> HPAGE_PMD_ORDER
                self.values[one.name] = _sparse(one, items)
        self.table = np.zeros(0, np.int64)
        self._resize("node", nodes)
        self._resize("task", 0)

    def has_tasks(self, tasks: int) -> None:
        """Have an item for each of ``tasks`` tasks."""
        self._resize("task", tasks)

    def _resize(self, per: str, items: int) -> None:
        for one in self._folded():
            old = self.values[one.name]
            if one.per != per or len(old) == items and one.name in self.new:
                continue
            values = np.full(items, one.fill, one.dtype)
            values[: len(old)] = old[:items]
            self.values[one.name] = values
            self.new[one.name] = np.zeros((self._rows, items), one.dtype)
            self._begin(one)
        self.table = np.array(list(self._words()), np.int64)

    def _folded(self) -> Iterator[Own]:
        return (one for one in self.arrays if one.is_folded)

    def _words(self) -> Iterator[int]:
        for one in self.arrays:
            values = self.values[one.name]
            yield from (_address(values), values.size, 0)
            if one.is_folded and one.name in self.new:
                new = self.new[one.name]
                yield from (_address(new), new.shape[1], new.strides[0])

    def _begin(self, own: Own) -> None:
        """Let the shards' rows be as they are at a quantum's start."""
        new = self.new[own.name]
        new[:] = 0 if own.fold == "sum" else self.values[own.name]

    def put(self, own: Own, values: np.ndarray) -> None:
        """Let an array of tasks or nodes be what it was; ValueError if it is not."""
        if values.shape != self.values[own.name].shape:
            raise ValueError(f"array {own.name} has {values.size} items")
        self.values[own.name][:] = values
        self._begin(own)

    def fold(self) -> None:
        """Fold what the shards wrote, in their order."""
        for one in self._folded():
            values, new = self.values[one.name], self.new[one.name]
            fold = FOLDS[one.fold]
            if one.fold == "sum":
                fold(values, new.sum(axis=0, dtype=one.dtype), out=values)
            else:
                fold(values, fold.reduce(new, axis=0), out=values)
            self._begin(one)

    def forget(self, first: int, pages: int) -> None:
        """Let the items of pages and of blocks that are mapped anew be as at first.

        first  index of the first PTE; of blocks, those that lie in the range as a whole
        """
        for one in self.arrays:
            if one.per == "page":
                _fill(one, self.values[one.name], first, pages)
            elif one.per == "block":
                low = -(-first >> HPAGE_PMD_ORDER)
                end = first + pages >> HPAGE_PMD_ORDER
                _fill(one, self.values[one.name], low, end - low)


def own(world: "World", name: str, region: Region | None = None) -> np.ndarray:
    """Return a copy of an array of the policy's own, as it is now.

    region  of an array of pages or blocks: an item for each of its pages, or for each
            block that it has pages in

    Raises BadInput if there is no such array, or it needs a region, or takes none.
    """
    one, values = _known(world, name)
    if one.is_folded != (region is None):
        rule = "without a region" if one.is_folded else "with a region"
        raise BadInput(f"array {name}, one per {one.per}, must be read {rule}")
    return (values if region is None else _part(one, values, region)).copy()


def set_own(
    world: "World",
    name: str,
    region: Region,
    pages: npt.ArrayLike,
    values: npt.ArrayLike,
) -> None:
    """Change items of an array of pages or blocks of the policy's own.

    pages   int64[n]: pages of the region from its first, or blocks that it touches
    values  what they are from now on: one, or [n]

    Raises BadInput if there is no such array, it is of tasks or nodes, or an item is
    not of the region.
    """
    one, whole = _known(world, name)
    if one.is_folded:
        raise BadInput(f"array to set must be of pages or blocks, got {name}")
    part, at = _part(one, whole, region), np.asarray(pages, np.int64)
    if at.size and not 0 <= at.min() <= at.max() < len(part):
        raise BadInput(
            f"{one.per}s of {name} must be from 0 to {len(part) - 1}, got"
            f" {at.min()} to {at.max()}"
        )
    part[at] = values


def _known(world: "World", name: str) -> tuple[Own, np.ndarray]:
    """Return an array of the policy's own, and its items."""
    found = world.placement.own if world.placement is not None else None
    known = {one.name: one for one in found.arrays} if found is not None else {}
    if found is None or name not in known:
        hint = did_you_mean(name, known)
        names = ", ".join(known) or "none"
        raise BadInput(f"array must be one of {names}, got {name!r}{hint}")
    return known[name], found.values[name]


def _part(one: Own, values: np.ndarray, region: Region) -> np.ndarray:
    """Return the items of a region."""
    first = region.first + region.process.delta
    end = first + region.pages
    if one.per == "block":
        first, end = first >> HPAGE_PMD_ORDER, -(-end >> HPAGE_PMD_ORDER)
    return values[first:end]


def _sparse(own: Own, items: int) -> np.ndarray:
    try:
        return sparse(items, own.dtype, False)
    except BadInput:
        raise BadInput(
            f"array {own.name} must fit in the host's address space, got {items} items"
            f" of {own.itemsize} bytes"
        ) from None


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _fill(own: Own, values: np.ndarray, first: int, items: int) -> None:
    if items <= 0:
        return
    if own.fill:
        values[first : first + items] = own.fill
    else:
        wipe(values, first, items)
