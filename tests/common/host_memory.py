"""What the host holds of an array."""

import ctypes
import mmap

import numpy as np


def resident(array):
    """Return how many of an array's host pages are resident (mincore)."""
    libc = ctypes.CDLL(None, use_errno=True)
    seen = np.zeros(array.nbytes // mmap.PAGESIZE, "u1")
    address, length = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
    assert libc.mincore(address, length, ctypes.c_void_p(seen.ctypes.data)) == 0
    return int((seen & 1).sum())
