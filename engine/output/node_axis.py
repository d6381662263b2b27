"""The nodes of all variants on one axis, by the numbers that the machines give them."""

from collections.abc import Sequence

import numpy as np


class NodeAxis:
    """The dimension ``node``.

    nodes     how many nodes 0, 1, .. there are at most, or the numbers of the nodes of
              each variant's machine
    variants  how many variants there are

    ``numbers`` has the number of each place on the axis.  A variant's nodes come in the
    machine's own order; nodes that it does not have are left out.
    """

    def __init__(self, nodes: int | Sequence[Sequence[int]], variants: int) -> None:
        if isinstance(nodes, int):
            nodes = [range(nodes)] * variants
        self._own = [np.array(list(numbers), np.int64) for numbers in nodes]
        self.numbers = np.unique(np.concatenate(self._own))
        self._places = [np.searchsorted(self.numbers, own) for own in self._own]

    def places(self, variant: int, count: int) -> np.ndarray:
        """Return where the first ``count`` nodes of a variant are on the axis."""
        return self._places[variant][:count]

    def most(self, variant: int) -> int:
        """Return how many nodes a variant has."""
        return len(self._own[variant])

    def named(self, variant: int, nodes: np.ndarray) -> np.ndarray:
        """Return the numbers, int16, of a variant's nodes; -1 stays."""
        return np.append(self._own[variant], -1).astype(np.int16)[nodes]
