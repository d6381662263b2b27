"""The model of ``docs/model/`` in slow, plain Python: the truth for the kernels.

Dicts, lists and integers; every rule is written here once more, as the page states it.
Only enumerations, the machine, the settings and the workloads come from the package.
A file is named for the kernels' folder or file that has the same rules.
"""

from .balancing_words import TOPOLOGIES
from .model import Reference
from .words import BLOCK, Pmd

__all__ = ["BLOCK", "TOPOLOGIES", "Pmd", "Reference"]
