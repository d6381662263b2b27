"""Another kind of CPU gives the same bits.

Everything that decides or counts is an integer but the draws of accesses, which are
sums, products and quotients of doubles; those are the same on every CPU as long as none
is fused, reordered or left to the C library, which has other code for other CPUs.
"""

import ast
import hashlib
import os
import subprocess
import sys
from math import log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lazynuma.kernels
from common.kernel_parts import from_python
from lazynuma.engine import (
    HotCold,
    Settings,
    Simulation,
    Stencil,
    Stream,
    Uniform,
    Zipf,
    uniform,
)
from lazynuma.engine.workloads.rows import Loads
from lazynuma.kernels.quantum import accesses
from lazynuma.kernels.quantum.own_accesses import Call
from lazynuma.kernels.state import Task

GIB = 1 << 30
SOURCES = sorted(Path(lazynuma.kernels.__file__).parent.rglob("*.py"))
#: A CPU without vectors wider than SSE2 and without fused multiply-add, for LLVM, for
#: the C library and for NumPy.
OTHER = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA_Usable,-AVX2_Usable",
}
COUNT = 20_000
_PATH = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))
_EXACT = {"frexp", "sqrt"}

generate_chunk = from_python(accesses.generate_chunk)
_log2 = from_python(accesses._log2)
_power = from_python(accesses._power)


def digests():
    """Return a digest of accesses of each kind whose pages are drawn."""
    simulation = Simulation(uniform(2, GIB), Settings(shards=4))
    process = simulation.spawn(nbytes=GIB)
    task = simulation.start_task(process, 0)
    region = simulation.mmap(process, GIB // 2 - (1 << 20) - 4096 * 7)
    given = {"task": task, "region": region, "count": COUNT, "write": 0.3}
    kinds = [Zipf(exponent=e, **given) for e in (0.3, 0.8, 1.0, 1.2, 2.5)]
    kinds += [Uniform(**given), HotCold(hot_pages=99, **given)]
    kinds += [Stream(**given), Stencil(**given)]
    return [_digest(_layout(simulation, one)) for one in kinds] + _of_doubles()


def _of_doubles():
    """Return digests of logarithms and powers to the last bit.

    A page shows a wrong last bit once in 10^10 accesses.
    """
    xs = [1.0 + 0.37 * n for n in range(2000)]
    functions = _log2, lambda x: _power(x, 0.2), lambda x: _power(x, -5.0)
    return [_digest(np.array([of(x) for x in xs])) for of in functions]


def _digest(values):
    return hashlib.blake2b(values.tobytes(), digest_size=8).hexdigest()


def _layout(simulation, load):
    loads = Loads([load], 1, simulation.seed, 0)
    table = simulation.memory.task.copy()
    loads.start(table, 0)
    table[0, Task.QUOTA] = COUNT
    accesses.lay_out(table, loads.starts)
    layout = np.zeros(COUNT, np.int64)
    tally = np.zeros((-(-COUNT // accesses.CHUNK), 4), np.int64)
    given = table, loads.rows, loads.exponent, loads.recorded, loads.own, loads.starts
    calls = np.zeros((len(tally), len(Call)), np.int64)
    for chunk in range(len(tally)):
        generate_chunk(*given, layout, calls, tally, chunk)
    return layout


def test_another_cpu_draws_the_same_accesses(tmp_path):
    code = "import test_quantum_other_cpu as t; print(*t.digests())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | OTHER
        | {"PYTHONPATH": _PATH, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == digests()


def test_kernels_leave_no_arithmetic_to_the_c_library():
    """Only what is exact, or rounded as IEEE 754 says."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "math":
                assert {name.name for name in node.names} <= _EXACT, path
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                assert isinstance(node.left, ast.Constant), (path, node.lineno)
            if isinstance(node, ast.keyword):
                assert node.arg not in ("fastmath", "error_model"), path


@given(st.floats(1e-16, 2.0**60), st.floats(-1.5, 1.5))
@example(1.0, 1.0)
@example(2.0**0.5, -1.0)
def test_logarithms_and_powers_are_right(x, y):
    assert _log2(x) == pytest.approx(log2(x), rel=1e-15, abs=1e-15)
    if abs(y * log2(x)) < 60:
        assert _power(x, y) == pytest.approx(x**y, rel=1e-11)
