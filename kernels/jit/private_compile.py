"""The decorators of every kernel with Numba's inside."""

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from .private_cache import KernelCache

#: Kernels own no memory, so reference counting is left out: with it, a field of a
#: NamedTuple costs two atomic operations at every use.
_BARE = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True}
#: Parts are not called from Python; their wrappers, which unpack every array of the
#: state, would be nine tenths of the compilation.
_PART = _BARE | {"no_cpython_wrapper": True}


class _NoEngine:
    """There is no machine code of a part whose environment could be set."""

    @staticmethod
    def set_env(name: str, env: object) -> None:
        """Do nothing."""


class _PartLibrary(JITCodeLibrary):
    """The code of a part: optimised and emitted only where it is linked in.

    Numba does both for every function and again for all that it is linked into, which
    for parts of parts of parts takes most of the time.
    """

    def _optimize_final_module(self) -> None:
        """Leave it to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalized = True

    @property
    def codegen(self):
        return _NoEngine


class _PartCompiler(Compiler):
    def compile_extra(self, func):
        codegen = self.state.targetctx.codegen()
        self.state.library = _PartLibrary(codegen, func.__qualname__)
        return super().compile_extra(func)


def kernel(func):
    """Compile ``func``, an entry point that Python calls."""
    made = numba.njit(**_BARE)(func)
    if not numba.config.DISABLE_JIT:
        made._cache = KernelCache(func)
    return made


def called(func):
    """Compile ``func``, a part of kernels that keeps its registers to itself."""
    return numba.njit(pipeline_class=_PartCompiler, **_PART)(func)


def inlined(func):
    """Compile ``func``, a part of kernels; it is always inlined into its callers."""
    return numba.njit(forceinline=True, pipeline_class=_PartCompiler, **_PART)(func)
