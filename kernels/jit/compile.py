"""The decorators of every kernel and of its parts."""

import numba

from .switch import PUBLIC

__all__ = ["called", "inlined", "kernel"]


def _compiled(func):
    """Compile ``func`` for this process, whatever it is."""
    return numba.njit(nogil=True)(func)


if PUBLIC:
    kernel = called = inlined = _compiled
else:
    from .private_compile import called, inlined, kernel
