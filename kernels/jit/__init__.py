"""How do kernels become machine code?  All that knows Numba's inside lies here.

``compile`` makes kernels and their parts, ``cache_dir`` says where they are kept and
``compiling`` what was compiled.  ``arrays`` is the struct of arrays that they get,
``atomic``, ``bits`` and ``prefetch`` are instructions that Python does not have, and
``by_address`` calls what users wrote.  It imports nothing of ours.

``compile`` and ``arrays`` have a private way, which is fast, and a public one.  The
public one is used if LAZYNUMA_PUBLIC_NUMBA=1 (``switch``): when a new Numba breaks a
name of this table, kernels are slow until it is mended, and results stay the same.

======================================== ===================== =========================
private name                             file                  what it is for
======================================== ===================== =========================
numba.core.codegen.JITCodeLibrary        private_compile       parts are optimised once,
numba.core.compiler.Compiler             private_compile       where they are linked in:
                                                               half the compilation
_nrt, no_cfunc_wrapper,                  private_compile       no reference counts, no
no_cpython_wrapper, forceinline                                wrappers of 50 arrays
numba.core.caching, Dispatcher._cache    private_cache         one process compiles,
                                                               others wait and load
numba.core.imputils.impl_ret_borrowed    private_arrays        a struct is one pointer:
numba.core.typing.templates              private_arrays        no 300 words on the stack
    .AttributeTemplate                                         of every call
numba.core.imputils.lower_builtin        private_arrays        an index is never tested
numba.np.arrayobj                        private_arrays        for its sign
numba.core.cgutils                       private_arrays,       unpacks tuples, declares
                                         prefetch              LLVM's prefetch
numba.types.ExternalFunction             atomic,               calls that keep the cache
                                         huge_memory_call      valid between processes
======================================== ===================== =========================

``huge_memory_call`` lies in ``kernels/frames``, beside the Cython that it calls.
"""
