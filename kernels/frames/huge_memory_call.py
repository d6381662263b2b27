"""Cython's functions as Numba kernels call them: by address, without Python.

``add_symbol`` and ``ExternalFunction`` keep the kernels' on-disk cache valid from one
process to the next.  The names of the symbols carry a version.  It must grow when a
signature changes, otherwise an old kernel in the cache would call the new function with
the old arguments.  Without the JIT the same names are the functions' Python wrappers.
"""

import ctypes

import llvmlite.binding as llvm
import numba
from numba import types
from numba.extending import get_cython_function_address, intrinsic

from ..jit.compile import inlined
from ..jit.switch import PUBLIC
from . import huge_memory


@intrinsic
def _address_of(context, array):
    """Return the address of an array's first item."""

    def generate(context, builder, signature, args):
        made = context.make_array(signature.args[0])(context, builder, args[0])
        return made.data

    return types.CPointer(array.dtype)(array), generate


def _by_symbol(name: str, version: int, result, *arguments):
    symbol = f"lazynuma_{name}_v{version}"
    address = get_cython_function_address(huge_memory.__name__, name)
    llvm.add_symbol(symbol, address)
    return types.ExternalFunction(symbol, result(*arguments))


def _by_ctypes(name: str, version: int, result, *arguments):
    address = get_cython_function_address(huge_memory.__name__, name)
    return ctypes.CFUNCTYPE(result, *arguments)(address)


@numba.njit
def _pointer_of(array):
    """Return what Numba passes as a pointer to a function of ctypes."""
    return array.ctypes


if PUBLIC:
    _bind, _data = _by_ctypes, _pointer_of
    _VOID, _LONG = None, ctypes.c_int64
    _WORDS, _SHORTS = ctypes.POINTER(_LONG), ctypes.POINTER(ctypes.c_int16)
else:
    _bind, _data = _by_symbol, _address_of
    _VOID, _LONG = types.void, types.int64
    _WORDS, _SHORTS = types.CPointer(_LONG), types.CPointer(types.int16)

_split_pmd = _bind(
    "split_pmd_api", 1, _VOID, _WORDS, _WORDS, _WORDS, _WORDS, _SHORTS, _LONG
)
_split_folio = _bind("split_folio_api", 1, _LONG, _WORDS, _WORDS, _LONG)

if numba.config.DISABLE_JIT:
    split_pmd = huge_memory.split_pmd
    split_folio = huge_memory.split_folio
else:

    @inlined
    def split_pmd(pmd, pte, frame, block_huge, block_mapped, block):
        """Do ``huge_memory.split_pmd``."""
        _split_pmd(
            _data(pmd),
            _data(pte),
            _data(frame),
            _data(block_huge),
            _data(block_mapped),
            block,
        )

    @inlined
    def split_folio(frame, block_huge, block):
        """Do ``huge_memory.split_folio``."""
        return _split_folio(_data(frame), _data(block_huge), block)
