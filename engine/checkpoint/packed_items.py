"""Items of arrays in chunks of an HDF5 file, packed by several threads.

The filters are those of HDF5 itself: shuffle, then Zstandard (32015), so that h5py
reads the chunks if it has that filter (package ``hdf5plugin``).  They are made here,
because HDF5 does it in one thread, and its own deflate takes six times as long.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import h5py
import numpy as np
import zstandard

#: Items of a chunk.
CHUNK = 1 << 20
_ZSTANDARD, _LEVEL = 32015, 1


def in_order(
    do: Callable[[Any], Any], items: Iterable[Any], threads: int
) -> Iterator[Any]:
    """Yield ``do(item)`` of each item; threads work ahead, but only a little."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            if len(waiting) > threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(do, item))
        while waiting:
            yield waiting.popleft().result()


def write(
    group: h5py.Group, name: str, blocks: Iterable[np.ndarray], count: int, threads: int
) -> None:
    """Write ``count`` items as a dataset; all blocks but the last have ``CHUNK``."""
    first = next(iterator := iter(blocks), None)
    if first is None:
        return
    create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    size = min(CHUNK, count)
    create.set_chunk((size,))
    create.set_shuffle()
    create.set_filter(_ZSTANDARD, h5py.h5z.FLAG_OPTIONAL, (_LEVEL,))
    space = h5py.h5s.create_simple((count,))
    kind = h5py.h5t.py_create(first.dtype)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space, create)
    pack = partial(_pack, size)
    for i, chunk in enumerate(in_order(pack, chain([first], iterator), threads)):
        dataset.write_direct_chunk((i * size,), chunk)


def read(
    dataset: h5py.Dataset, check: Callable[[np.ndarray], None], threads: int
) -> Iterator[np.ndarray]:
    """Yield the items of a dataset in blocks of ``CHUNK``, the last one filled up.

    check  called with each block, by several threads
    Raises what ``check`` raises, and ValueError if a chunk is not what ``write`` wrote.
    """
    count = min(CHUNK, dataset.size)
    if dataset.chunks != (count,):
        raise ValueError(f"{dataset.name} has chunks of {dataset.chunks}")
    kind = dataset.dtype
    size = count * kind.itemsize

    def unpack(chunk: bytes) -> np.ndarray:
        try:
            raw = zstandard.ZstdDecompressor().decompress(chunk, max_output_size=size)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if len(raw) != size:
            raise ValueError(f"a chunk of {dataset.name} has {len(raw)} bytes")
        planes = np.frombuffer(raw, np.uint8).reshape(-1, count)
        block = np.ascontiguousarray(planes.T).reshape(-1).view(kind)
        check(block)
        return block

    chunks = (
        dataset.id.read_direct_chunk((at,))[1] for at in range(0, dataset.size, count)
    )
    yield from in_order(unpack, chunks, threads)


def _pack(size: int, block: np.ndarray) -> bytes:
    if block.size < size:
        block = np.concatenate([block, np.zeros(size - block.size, block.dtype)])
    planes = np.ascontiguousarray(block.view(np.uint8).reshape(size, -1).T)
    return zstandard.ZstdCompressor(_LEVEL).compress(memoryview(planes))  # type: ignore
