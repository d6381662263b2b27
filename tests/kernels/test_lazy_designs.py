"""A design of lazy migration is one file and one row: nobody else names it."""

import re
from pathlib import Path

import lazynuma.kernels
from lazynuma.kernels.lazy import designs
from lazynuma.kernels.words import Kind

KERNELS = Path(lazynuma.kernels.__file__).parent
ROOT = KERNELS.parent
#: The migration cache, by all its names.
NAMES = re.compile(r"migcache|PTE_PARKED|entry_frame|entry_count", re.I)
#: Who may name it: itself, its row, its words and arrays; what users choose and see.
NAMED = {
    *("kernels/lazy/migcache.py", "kernels/lazy/designs.py", "kernels/lazy/mark.py"),
    *("kernels/words.py", "kernels/knobs.py", "kernels/counters.py"),
    *("kernels/state.py", "kernels/frames/swap_state.py"),
    *("engine/state/allocate.py", "engine/state/parked_arrays.py"),
    *("engine/checkpoint/bounds.py", "engine/calls/marking.py", "engine/warm.py"),
    *("engine/results.py", "engine/study/columns.py"),
    *("engine/output/counter_names.py",),
}


def code(path):
    """Return a file without comments and docstrings."""
    text = re.sub(r'""".*?"""', "", path.read_text(), flags=re.S)
    return re.sub(r"#.*", "", text)


def test_nobody_else_names_the_migration_cache():
    paths = [*KERNELS.rglob("*.py*"), *(ROOT / "engine").rglob("*.py")]
    paths = [path for path in paths if path.suffix in (".py", ".pyx", ".pxd")]
    naming = {path for path in paths if NAMES.search(code(path))}
    assert {path.relative_to(ROOT).as_posix() for path in naming} <= NAMED


def test_each_kind_has_a_row_of_all_verbs():
    rows = [getattr(designs, kind.name) for kind in Kind]
    assert [*map(len, rows)] == [len(designs.Design._fields)] * len(Kind)
    verbs = {getattr(verb, "py_func", verb) for row in rows for verb in row}
    assert len(verbs) == len(Kind) * len(designs.Design._fields)
