"""A struct of arrays by Numba's public means alone: a ``structref``.

Slower than the private way: each use of a field counts a reference, and the sign of an
index is tested.
"""

from functools import cache

import numba
import numpy as np
from numba import types
from numba.experimental import structref


@cache
def _proxy(name: str, fields: tuple[str, ...]):
    """Return the class whose instances hold arrays of these names for kernels."""
    kind = structref.register(type(f"{name}Type", (types.StructRef,), {}))
    proxy = type(name, (structref.StructRefProxy,), {})
    structref.define_proxy(proxy, kind, fields)
    return proxy


def bind(struct, arrays: dict[str, np.ndarray]) -> None:
    """Give ``struct`` what kernels see of it: a reference to all its arrays.

    arrays  its fields, C-contiguous
    """
    proxy = _proxy(type(struct).__name__, tuple(arrays))(*arrays.values())
    object.__setattr__(struct, "_proxy", proxy)
    object.__setattr__(struct, "_meminfo", proxy._meminfo)
    object.__setattr__(struct, "_numba_type_", proxy._numba_type_)


@numba.njit
def from_start(array):
    """Return the array itself: Numba's own arrays test the sign of every index."""
    return array
