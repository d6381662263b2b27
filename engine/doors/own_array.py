"""Arrays of a user's own, which kernels' user functions read and write."""

import keyword
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import BadInput, did_you_mean

#: What an item of an array may be for.
PER = ("page", "block", "task", "node")
#: Of tasks and nodes: how what the shards wrote in a quantum becomes one value.
FOLDS = {"sum": np.add, "max": np.maximum, "min": np.minimum}
DTYPES = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "bool"),
)
#: Behind the name of an array of tasks or nodes: what a shard adds in this quantum.
NEW = "_new"


@dataclass(frozen=True)
class Own:
    """An array of a user's function: ``mine.NAME``.

    name   of the array: a word of Python that does not end with ``_new``
    dtype  integers of 8 to 64 bits, float32, float64 or bool
    per    what has an item each.  ``page`` and ``block`` (2 MiB): virtual ones, by the
           numbers that the function gets, read and written at once.  ``task`` and
           ``node``: ``mine.NAME[i]`` is what was there when the quantum began, and
           cannot be written; ``mine.NAME_new[i]`` is written, and folded when the
           quantum ends
    fold   ``sum``: NAME_new is 0 at first and is added; ``max``, ``min``: NAME_new is
           NAME at first, and the greatest or least of all is NAME
    fill   what each item is at first: of a page when it is mapped

    Raises BadInput if one of them is something else.
    """

    name: str
    dtype: npt.DTypeLike
    per: str
    fold: str = "sum"
    fill: float = 0

    def __post_init__(self) -> None:
        _check_name(self.name)
        for what, value, known in (
            ("per", self.per, PER),
            ("fold", self.fold, tuple(FOLDS)),
        ):
            if value not in known:
                hint = did_you_mean(str(value), known)
                raise BadInput(
                    f"{what} of array {self.name} must be one of {', '.join(known)},"
                    f" got {value!r}{hint}"
                )
        object.__setattr__(self, "dtype", _dtype(self.name, self.dtype))
        if self.fold == "sum" and self.dtype == np.bool_ and self.is_folded:
            raise BadInput(f"fold of array {self.name} must be max or min, got sum")
        _check_fill(self)

    @property
    def is_folded(self) -> bool:
        """Whether shards write rows of their own, which are folded."""
        return self.per in ("task", "node")

    @property
    def itemsize(self) -> int:
        """Bytes of an item."""
        return np.dtype(self.dtype).itemsize


def _check_name(name: object) -> None:
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or name.startswith("_")
        or name.endswith(NEW)
    ):
        raise BadInput(
            "name of an array must be a word that begins with a letter and does not"
            f" end with {NEW}, got {name!r}"
        )


def _dtype(name: str, dtype: npt.DTypeLike) -> np.dtype:
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError):
        known = None
    if known is None or known.name not in DTYPES or not known.isnative:
        got = dtype if known is None else known
        raise BadInput(
            f"dtype of array {name} must be one of {', '.join(DTYPES)}, got {got}"
        )
    return known


def _check_fill(own: Own) -> None:
    try:
        right = bool(np.array(own.fill, own.dtype) == own.fill)
    except (OverflowError, TypeError, ValueError):
        right = False
    if not right:
        raise BadInput(
            f"fill of array {own.name} must be a number that {own.dtype} holds,"
            f" got {own.fill!r}"
        )


def check_arrays(arrays: object) -> tuple[Own, ...]:
    """Return a door's arrays, a tuple of ``Own`` of different names, or BadInput."""
    if not isinstance(arrays, (tuple, list)):
        raise BadInput(f"arrays must be a tuple of Own, got {arrays!r}")
    for one in arrays:
        if not isinstance(one, Own):
            raise BadInput(f"arrays must be a tuple of Own, got {one!r} in it")
    names = [one.name for one in arrays]
    if len(set(names)) < len(names):
        raise BadInput(f"arrays must have different names, got {', '.join(names)}")
    return tuple(arrays)


def fields_of(arrays: Sequence[Own]) -> Iterator[tuple[str, str, bool]]:
    """Yield (name, dtype, whether it may be written) of what ``mine`` holds."""
    for one in arrays:
        yield one.name, str(one.dtype), not one.is_folded
        if one.is_folded:
            yield one.name + NEW, str(one.dtype), True


def bytes_needed(arrays: Sequence[Own], pages: int) -> dict[str, int]:
    """Return the bytes of host memory of each array whose pages or blocks are used."""
    items = {"page": pages, "block": -(-pages // 512), "task": 0, "node": 0}
    return {one.name: items[one.per] * one.itemsize for one in arrays}
