"""Accesses of a breadth-first search and of lookups in cross sections, page by page.

Generators of ``OwnWorkload``, compiled by Numba: functions of the task, the number of
the access and its key, so that no result depends on threads or batches.

Graph500 (the reference code's data: rows of edges, and a tree with the parent of each
vertex).  A search goes level by level.  Levels of a Kronecker graph of a large scale
have about these shares of all edges: 0.1, 6, 60, 32 and 1.9 %.  For each vertex of the
frontier its row is read: 4 lines, at a place that hangs on nothing but the vertex.
Each of its 32 edges asks the tree: 1 line, of a vertex that is drawn by its degree.

XSBench (Tramm et al., PHYSOR 2014, unionized grid, size large).  A lookup is a binary
search for an energy (22 steps), the row of indices of that energy (14 lines are used),
and for each nuclide of a material, 56 in the mean, two neighbouring points of its grid
(2 lines each): of 20 accesses 3, 2 and 15.
"""

from typing import Any

from ...engine.doors.random_numbers import another_key, random_page, random_unit

#: Of nine accesses to lines one reads a row: 4 lines beside 32.
ROW = 9
#: Of so many accesses the first search for the energy, the next read its row.
LOOKUP, SEARCHED, INDEXED = 20, 3, 5
#: Steps of a search among four million energies.
STEPS = 22
#: Where levels end, as shares of the edges of a search.
LEVELS = (0.001, 0.061, 0.661, 0.981)


def bfs_access(access: Any, mine: Any) -> tuple[int, bool]:
    """Return (page, write) of a search; ``mine.tree`` pages come first, then rows.

    mine.search  accesses of one search
    """
    at, search = access.number % mine.search, access.number // mine.search
    key = another_key(access.key, search)
    if access.number % ROW != 0:
        # The cube of a number that is drawn evenly: a few vertices have most edges.
        skew = random_unit(key, access.number)
        page = int(skew * skew * skew * mine.tree)
        # A vertex that is new gets its parent: most edges lead to one that is not.
        return page, random_page(another_key(key, 1), access.number, 32) == 0
    share = at / mine.search
    level = 0
    for end in LEVELS:
        if share >= end:
            level += 1
    rows = access.pages - mine.tree
    vertex = random_page(another_key(key, 2 + level), access.number, rows * 16)
    return mine.tree + vertex // 16, False


def xsbench_access(access: Any, mine: Any) -> tuple[int, bool]:
    """Return (page, write) of lookups: nuclides, energies and rows lie in that order.

    mine.nuclides, mine.energies  their pages; the rows have the rest
    """
    lookup, step = access.number // LOOKUP, access.number % LOOKUP
    begin = mine.nuclides + mine.energies
    energy = random_unit(access.key, lookup)
    if step < SEARCHED:
        # One step of the search for it: in the middle of one of 2^level parts.
        level = random_page(another_key(access.key, 1), access.number, STEPS)
        parts = 1 << level
        place = (int(energy * parts) + 0.5) / parts
        return mine.nuclides + int(place * mine.energies), False
    if step < INDEXED:
        return begin + int(energy * (access.pages - begin)), False
    return random_page(another_key(access.key, 2), access.number, mine.nuclides), False
