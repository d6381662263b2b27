"""A struct of arrays that kernels get as one argument."""

from dataclasses import fields, replace
from typing import Self

import numpy as np
from numba import config
from numba.extending import typeof_impl

from .switch import PUBLIC

if PUBLIC:
    from .public_arrays import bind, from_start
else:
    from .private_arrays import bind, from_start

__all__ = ["Arrays", "from_start"]


class Arrays:
    """Base of a frozen dataclass whose fields are C-contiguous NumPy arrays."""

    def __post_init__(self) -> None:
        if not config.DISABLE_JIT:
            bind(self, {one.name: getattr(self, one.name) for one in fields(self)})

    def replace(self, **arrays: np.ndarray) -> Self:
        """Return the struct with other arrays in some fields."""
        return replace(self, **arrays)


@typeof_impl.register(Arrays)
def _typeof(value, context):
    return value._numba_type_


if config.DISABLE_JIT:

    def from_start(array):
        """Return the array: the interpreter has only one kind."""
        return array
