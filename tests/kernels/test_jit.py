"""Numba's inside stays in listed files, and stale machine code is never served."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from lazynuma.kernels import jit
from lazynuma.kernels.jit import cache_dir

KERNELS = Path(jit.__file__).parents[1]
ROOT = KERNELS.parent
#: Modules that Numba documents for extensions.
PUBLIC = {"numba", "numba.extending", "numba.experimental", "numba.types"}


def private_imports(path: Path) -> set[str]:
    """Return the modules of Numba that a file imports and that are not documented."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{name.name}" for name in node.names]
            found |= {node.module} if node.module not in PUBLIC else set()
            found |= {name for name in whole if name == "numba.core.cgutils"}
    return {m for m in found if m.startswith("numba.") and m not in PUBLIC}


def test_private_names_are_imported_in_listed_files_alone():
    for path in ROOT.glob("[bekst]*/**/*.py"):
        modules = private_imports(path)
        if modules:
            assert path.parent.name == "jit", path
            assert path.stem in jit.__doc__, path


def test_every_private_module_is_listed():
    for path in Path(jit.__file__).parent.glob("*.py"):
        for module in private_imports(path) - {"numba.core"}:
            assert module in jit.__doc__, (path, module)


def test_the_public_way_imports_nothing_private():
    code = (
        "import sys, numba\nfrom numba.core import cgutils\n"
        "import lazynuma.kernels.jit.arrays, lazynuma.kernels.jit.compile\n"
        "print(sorted(m for m in sys.modules if m.startswith('lazynuma.kernels.jit.')))"
    )
    environment = os.environ | {"LAZYNUMA_PUBLIC_NUMBA": "1"}
    environment.pop("NUMBA_DISABLE_JIT", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "public_arrays" in done.stdout and "private" not in done.stdout


def test_the_key_of_the_cache_covers_every_source():
    sources = {str(path.relative_to(KERNELS)) for path in cache_dir.SOURCES}
    for path in ("words.py", "words.pxd", "lazy/hinting.py", "thp/khugepaged.pyx"):
        assert path in sources
    every = [*KERNELS.rglob("*.py"), *KERNELS.rglob("*.pyx"), *KERNELS.rglob("*.pxd")]
    assert len(sources) == len(every)


def test_a_changed_source_changes_the_key(tmp_path):
    source = tmp_path / "one.py"
    source.write_text("a = 1")
    before = cache_dir.key_of([source])
    source.write_text("a = 2")
    assert cache_dir.key_of([source]) != before
