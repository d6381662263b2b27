"""``/snapshots``: a row a snapshot, and its blocks, compressed, beside the row."""

from collections.abc import Callable, Mapping, Sequence

import h5py
import numpy as np

from ..errors import BadInput
from .growing import INDEX, Table, bare_dimension, fill_value, finish_variable
from .schema import BLOCK_VARIABLES, SNAPSHOTS, Variable

try:  # some times faster
    from isal.isal_zlib import compress
except ImportError:
    from zlib import compress

#: Blocks in a chunk, which is written by itself, once, and never changed.
_BLOCKS = 1 << 20
_LEVEL = 1


class SnapshotTable(Table):
    """Rows wait as in other tables; blocks go to the file at once."""

    def __init__(self, group: h5py.Group, names: Sequence[str]) -> None:
        super().__init__(group, names, "snapshot", "index of the snapshot", SNAPSHOTS)
        shape = {"shape": (0,), "maxshape": (None,), "chunks": (_BLOCKS,)}
        self._block = bare_dimension(group, "block", **shape)
        self._blocks = [self._block_variable(one) for one in BLOCK_VARIABLES]

    def _block_variable(self, variable: Variable) -> h5py.Dataset:
        """Create a variable of blocks: a row a snapshot, both dimensions grow."""
        if variable.name in self.group:
            return self.group[variable.name]
        dataset = self.group.create_dataset(
            variable.name,
            (0, 0),
            variable.dtype,
            maxshape=(None, None),
            chunks=(1, _BLOCKS),
            fillvalue=fill_value(variable.dtype),
            compression="gzip",
            compression_opts=_LEVEL,
        )
        finish_variable(dataset, variable, (self.scale, self._block))
        self.say_coordinates(dataset, variable)
        return dataset

    def write_blocks(
        self, node: np.ndarray, kind: np.ndarray, reserve: Callable[[int], None]
    ) -> None:
        """Write the blocks of the row that is put next, [blocks] both.

        ``reserve`` is called with the bytes of each chunk before it is written.
        """
        snapshot, count = self.written + self.waiting, len(node)
        self._grow(snapshot, count)
        for dataset, values in zip(self._blocks, (node, kind), strict=True):
            for first in range(0, count, _BLOCKS):
                packed = _packed(values[first : first + _BLOCKS].astype(dataset.dtype))
                reserve(len(packed) + INDEX)
                dataset.id.write_direct_chunk((snapshot, first), packed)

    def copy_blocks(
        self, source: Mapping[str, h5py.Dataset], row: int, snapshot: int
    ) -> int:
        """Copy the blocks of a row of another file's table; return the next row.

        source    the variables of that table by name
        snapshot  the row that they are put into
        """
        count = int(source["count"][row])
        self._grow(snapshot, count)
        for dataset in self._blocks:
            found = source[dataset.name.rpartition("/")[2]]
            if (found.dtype, found.chunks) != (dataset.dtype, dataset.chunks):
                raise BadInput(f"blocks must be as ours, got {found.dtype}")
            for first in range(0, count, _BLOCKS):
                _, packed = found.id.read_direct_chunk((row, first))
                dataset.id.write_direct_chunk((snapshot, first), packed)
        return snapshot + 1

    def _grow(self, snapshot: int, count: int) -> None:
        """Make a row, and blocks enough in each row."""
        width = max(self._block.shape[0], count)
        self._block.resize(width, axis=0)
        for dataset in self._blocks:
            dataset.resize((snapshot + 1, width))


def _packed(values: np.ndarray) -> bytes:
    """Return a chunk, filled up with -1, as HDF5's gzip filter has it."""
    chunk = np.ascontiguousarray(values)
    if len(chunk) < _BLOCKS:
        chunk = np.append(chunk, np.full(_BLOCKS - len(chunk), -1, chunk.dtype))
    return compress(chunk, _LEVEL)


def check_blocks(node: np.ndarray, kind: np.ndarray) -> None:
    """Raise BadInput if a snapshot is not two arrays of int8[blocks]."""
    for name, values in (("node", node), ("kind", kind)):
        if values.dtype != np.int8 or values.shape != (node.size,):
            raise BadInput(
                f"{name} must be int8[{node.size}],"
                f" got {values.dtype}{list(values.shape)}"
            )
