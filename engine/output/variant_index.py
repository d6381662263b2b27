"""An index of names that repeat: a name chooses all of its rows, be it one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from xarray.core.indexing import IndexSelResult
from xarray.indexes import PandasIndex


class VariantIndex(PandasIndex):
    """The names of the variants of a table's rows.

    PandasIndex would drop the dimension if a name had one row.
    """

    def sel(
        self, labels: Mapping[Any, Any], method: Any = None, tolerance: Any = None
    ) -> IndexSelResult:
        """Return the rows of a name, or of several; KeyError if there are none."""
        (wanted,) = labels.values()
        rows = np.flatnonzero(self.index.isin(np.atleast_1d(np.asarray(wanted))))
        if not len(rows):
            raise KeyError(wanted)
        return IndexSelResult({self.dim: rows})
