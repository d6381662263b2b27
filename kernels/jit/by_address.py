"""Functions that users wrote, called by address: machine code that no kernel knows.

No symbol is linked in, so a kernel in the cache serves every function, and another one
in each simulation.  Without the JIT an address is the number of a Python callable.

What is called gets rows of int64 and no more.  ``tuple_of`` and ``arrays_of`` make of
them, in the called function, what a user's function gets.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic

from .compile import inlined

_WORD = ir.IntType(64)
#: Python callables by address, without the JIT; 0 is nobody's.
_FUNCTIONS: list[Callable | None] = [None]


def number_of(function: Callable) -> int:
    """Return the address of a Python callable, without the JIT."""
    if function not in _FUNCTIONS:
        _FUNCTIONS.append(function)
    return _FUNCTIONS.index(function)


def _result(builder, address, arguments):
    """Call the function at an address; it returns an int64."""
    kind = ir.FunctionType(_WORD, [one.type for one in arguments])
    return builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


def _first(context, builder, kind, array):
    """Return a pointer to an array's first item."""
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def _call_words(context, address, words, tables):
    def generate(context, builder, signature, args):
        rows = zip(signature.args[1:], args[1:], strict=True)
        pointers = [_first(context, builder, kind, row) for kind, row in rows]
        return _result(builder, args[0], pointers)

    return types.int64(types.int64, words, tables), generate


@intrinsic
def _call_memory(context, address, memory, words):
    def generate(context, builder, signature, args):
        pointer = _first(context, builder, signature.args[2], args[2])
        return _result(builder, args[0], [args[1], pointer])

    return types.int64(types.int64, memory, words), generate


if numba.config.DISABLE_JIT:

    def call_words(address, words, tables):
        """Call a function ``int64(int64*, int64*)`` with two int64 arrays."""
        return _FUNCTIONS[address](words, tables)

    def call_memory(address, m, words):
        """Call a function of the state and an int64 array; it returns an int64."""
        return _FUNCTIONS[address](m, words)

else:

    @inlined
    def call_words(address, words, tables):
        """Call a function ``int64(int64*, int64*)`` with two int64 arrays."""
        return _call_words(address, words, tables)

    @inlined
    def call_memory(address, m, words):
        """Call a function of the state and an int64 array; it returns an int64."""
        return _call_memory(address, m, words)


# --- in the function that is called ---------------------------------------------------


def _load(builder, pointer, at):
    return builder.load(builder.gep(pointer, [ir.Constant(_WORD, at)]))


def tuple_of(kind: type, first: int) -> Callable:
    """Return a function of a pointer to int64 that makes a NamedTuple of int64.

    kind   class of the tuple; its fields are the words from ``first`` on
    """
    count = len(kind._fields)  # type: ignore[attr-defined]

    @intrinsic
    def made_of(context, words):
        made = types.NamedUniTuple(types.int64, count, kind)

        def generate(context, builder, signature, args):
            items = [_load(builder, args[0], first + i) for i in range(count)]
            return context.make_tuple(builder, made, items)

        return made(words), generate

    def plain(words):
        return kind(*(int(words[first + i]) for i in range(count)))

    return plain if numba.config.DISABLE_JIT else made_of


def _array(context, builder, kind, address, length):
    """Return the array of ``length`` items at an address."""
    made = context.make_array(kind)(context, builder)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    itemsize = ir.Constant(_WORD, size)
    one = ir.Constant(ir.ArrayType(_WORD, 1), ir.Undefined)
    made.data = builder.inttoptr(address, made.data.type)
    made.shape = builder.insert_value(one, length, 0)
    made.strides = builder.insert_value(one, itemsize, 0)
    made.itemsize, made.nitems = itemsize, length
    made.meminfo, made.parent = (
        ir.Constant(made.meminfo.type, None),
        ir.Constant(made.parent.type, None),
    )
    return made._getvalue()


#: (dtype, whether it may be written, or None: it is no array but a number of 8 bytes).
Field = tuple[str, bool | None]


def arrays_of(kind: type, fields: tuple[Field, ...], first: int = 0) -> Callable:
    """Return a function of (pointer to int64, row) that makes a NamedTuple of arrays.

    The words are, for each field: address, length, bytes from a row to the next.  An
    array of one row has 0 there, and is the same in every row.

    kind    class of the tuple
    fields  of the tuple
    first   where the words begin
    """

    @intrinsic
    def made_of(context, tables, row):
        arrays = [_field_type(*one) for one in fields]
        made = types.NamedTuple(arrays, kind)

        def generate(context, builder, signature, args):
            items = []
            for i, one in enumerate(arrays):
                address, length, stride = (
                    _load(builder, args[0], first + 3 * i + j) for j in range(3)
                )
                start = builder.add(address, builder.mul(stride, args[1]))
                items.append(_field(context, builder, one, start, length))
            return context.make_tuple(builder, made, items)

        return made(tables, types.int64), generate

    def plain(tables, row):
        return arrays_at(kind, fields, tables[first:], row)

    return plain if numba.config.DISABLE_JIT else made_of


def arrays_at(
    kind: type, fields: tuple[Field, ...], tables: np.ndarray, row: int
) -> Any:
    """Return, in Python, what the function that ``arrays_of`` returns does."""
    made = []
    for i, field in enumerate(fields):
        address, length, stride = (int(tables[3 * i + j]) for j in range(3))
        made.append(_at(address + int(row) * stride, length, *field))
    return kind(*made)


def _field_type(dtype: str, written: bool | None) -> types.Type:
    kind = from_dtype(np.dtype(dtype))
    if written is None:
        return kind
    return types.Array(kind, 1, "C", readonly=not written)


def _field(context, builder, kind, address, length):
    """Return the array of ``length`` items at an address, or the number there."""
    if isinstance(kind, types.Array):
        return _array(context, builder, kind, address, length)
    pointer = context.get_value_type(kind).as_pointer()
    return builder.load(builder.inttoptr(address, pointer))


def _at(address: int, length: int, dtype: str, written: bool | None) -> Any:
    """Return the array of ``length`` items at an address, or the number there."""
    nbytes = length * np.dtype(dtype).itemsize
    memory = (ctypes.c_char * nbytes).from_address(address)
    array = np.frombuffer(memory, dtype, length)
    if written is None:
        return array[0].item()
    array.flags.writeable = written
    return array
