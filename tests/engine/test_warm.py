"""Warming compiles every kernel, so that no run does."""

import os
import subprocess
import sys

CODE = """
from lazynuma.engine.warm import warm_kernels
from lazynuma.kernels.jit.compiling import compiled
from lazynuma.kernels.jit.private_cache import CACHES
warm_kernels()
print(len(compiled.unused), sum(cache.is_kept() for cache in CACHES) == len(CACHES))
"""


def test_every_kernel_is_reached_and_kept():
    environment = os.environ.copy()
    for name in ("NUMBA_DISABLE_JIT", "LAZYNUMA_PUBLIC_NUMBA"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 True\n"
