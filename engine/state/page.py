"""What one page is, for a person who asks."""

from typing import NamedTuple


class Page(NamedTuple):
    """What one virtual page is: see ``Simulation.page``."""

    kind: str
    node: int = -1
    frame: int = -1
    write: bool = False
    young: bool = False
    dirty: bool = False
    protnone: bool = False
    mapcount: int = 0
    entry: int = -1
    count: int = 0
    cache: str = ""
    #: Part of a huge page; mapped by a PMD entry.
    huge: bool = False
    pmd: bool = False
