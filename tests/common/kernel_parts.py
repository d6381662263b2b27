"""Parts of kernels for tests to call: they have no wrapper for Python of their own."""

import numba


def from_python(part):
    """Return a function that calls ``part``, compiled or not as the kernels are."""
    if numba.config.DISABLE_JIT:
        return part

    @numba.njit(_nrt=False)
    def call(*args):
        return part(*args)

    return call
