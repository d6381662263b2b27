"""The parts of a sparse array that hold anything are found, and nothing is touched."""

import mmap

import numpy as np
import pytest

from lazynuma.engine.checkpoint import written_parts
from lazynuma.engine.state.host_memory import sparse


def resident(array):
    """Return the host pages in memory of an array."""
    first = array.ctypes.data // mmap.PAGESIZE
    pages = -(-array.nbytes // mmap.PAGESIZE)
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(8 * first)
        words = np.frombuffer(pagemap.read(8 * pages), np.uint64)
    return int((words >> np.uint64(63)).sum())


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_every_item_that_is_not_zero_is_in_a_part(dtype, told, monkeypatch):
    if not told:
        monkeypatch.setattr(written_parts, "_PAGEMAP", "/nowhere")
    rng, items = np.random.default_rng(5), 300_000
    for count in (0, 1, 50, 5000):
        array = sparse(items, dtype, False)
        at = np.unique(rng.integers(0, items, count))
        array[at] = 1
        array[items - 1] = 1
        parts = list(written_parts.written(array, items))
        covered = np.zeros(items, bool)
        for first, end in parts:
            assert not covered[first:end].any()
            covered[first:end] = True
        assert covered[at].all() and covered[items - 1]
        page = mmap.PAGESIZE // np.dtype(dtype).itemsize
        assert covered.sum() <= page * np.unique(np.append(at, items - 1) // page).size


def test_what_was_never_written_is_not_touched():
    array = sparse(1 << 30, np.int64, False)
    array[123_456_789] = 1
    array[1 << 29 : (1 << 29) + 512] = 0  # given by the host, and all zero
    before = resident(array[: 1 << 30])
    parts = list(written_parts.written(array, array.size))
    assert parts == [(123_456_512, 123_457_024)]
    assert resident(array) == before == 2
