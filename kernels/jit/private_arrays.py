"""A struct of arrays as one pointer, with what Numba has inside.

Passed by value, a struct of 50 arrays is 300 words on the stack of every call, and as
many values in the compiler's hands.  By its address, a kernel loads what it uses from a
table of each array's data pointer and shape, which never changes while a kernel runs.
"""

import operator
from functools import cache

import numpy as np
from llvmlite import ir
from numba import config, from_dtype, types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed, lower_builtin
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    models,
    register_model,
    unbox,
)
from numba.np.arrayobj import (
    getitem_array_tuple,
    getitem_arraynd_intp,
    load_item,
    populate_array,
    setitem_array,
    store_item,
)

_WORD = ir.IntType(64)


def bind(struct, arrays: dict[str, np.ndarray]) -> None:
    """Give ``struct`` its table and its type: what kernels see of it.

    arrays  its fields, C-contiguous; the struct keeps them alive
    """
    every = arrays.values()
    table = [word for array in every for word in (_address(array), *array.shape)]
    object.__setattr__(struct, "_table", np.array(table, np.int64))
    object.__setattr__(struct, "_address", struct._table.ctypes.data)
    layout = tuple((name, (x.dtype.str, x.ndim)) for name, x in arrays.items())
    object.__setattr__(struct, "_numba_type_", _kind(type(struct).__name__, layout))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class _Field(types.Array):
    """An array that is never indexed from its end, so that no index is looked at."""

    def __init__(self, dtype, dimensions, layout) -> None:
        name = f"field({dtype}, {dimensions}d)"
        super().__init__(dtype, dimensions, layout, name=name)


#: With NUMBA_BOUNDSCHECK, use Numba's own array type, which checks.
_FIELD = types.Array if config.BOUNDSCHECK else _Field


@register_model(_Field)
class _FieldModel(models.ArrayModel):
    pass


def _indices(context, builder, kind, value):
    """Return the index of each dimension, None where that is not what ``kind`` is."""
    kinds = kind.types if isinstance(kind, types.BaseTuple) else (kind,)
    if not all(isinstance(one, types.Integer) for one in kinds):
        return None
    values = [value] if kinds == (kind,) else cgutils.unpack_tuple(builder, value)
    return [
        context.cast(builder, one, of, types.intp)
        for one, of in zip(values, kinds, strict=True)
    ]


def _item_pointer(context, builder, field, array, index, at):
    """Return the address of an item, or None where an index asks for a part."""
    indices = _indices(context, builder, index, at)
    if indices is None or len(indices) < field.ndim:
        return None
    made = context.make_array(field)(context, builder, array)
    shape = cgutils.unpack_tuple(builder, made.shape)
    offset = indices[0]
    for length, one in zip(shape[1:], indices[1:], strict=True):
        offset = builder.add(builder.mul(offset, length), one)
    return builder.gep(made.data, [offset])


@lower_builtin(operator.getitem, _Field, types.Integer)
@lower_builtin(operator.getitem, _Field, types.BaseTuple)
def _getitem(context, builder, signature, args):
    field, index = signature.args
    pointer = _item_pointer(context, builder, field, args[0], index, args[1])
    if pointer is not None:
        return load_item(context, builder, field, pointer)
    if isinstance(index, types.BaseTuple):
        return getitem_array_tuple(context, builder, signature, args)
    return getitem_arraynd_intp(context, builder, signature, args)


@lower_builtin(operator.setitem, _Field, types.Integer, types.Any)
@lower_builtin(operator.setitem, _Field, types.BaseTuple, types.Any)
def _setitem(context, builder, signature, args):
    field, index, kind = signature.args
    pointer = _item_pointer(context, builder, field, args[0], index, args[1])
    if pointer is None:
        return setitem_array(context, builder, signature, args)
    value = context.cast(builder, args[2], kind, field.dtype)
    store_item(context, builder, field, value, pointer)
    return context.get_dummy_value()


@intrinsic
def _as_field(context, array):
    """Return an array as a ``_Field``: both are the same words."""

    def generate(context, builder, signature, args):
        return args[0]

    return _FIELD(array.dtype, array.ndim, "C")(array), generate


#: ``from_start(array)`` is the array, of which an index never counts from the end.
from_start = _as_field


class _ArraysType(types.Type):
    """The type of a struct; ``layout``: (name, (dtype, dimensions)) of its fields."""

    def __init__(self, name: str, layout: tuple) -> None:
        self.at, self.field, at = {}, {}, 0
        for one, (dtype, dimensions) in layout:
            self.at[one] = at
            self.field[one] = _FIELD(from_dtype(np.dtype(dtype)), dimensions, "C")
            at += 1 + dimensions
        text = ", ".join(f"{one}: {kind[0]}[{kind[1]}]" for one, kind in layout)
        super().__init__(f"{name}({text})")


@cache
def _kind(name: str, layout: tuple) -> _ArraysType:
    """Return the type of a struct: made once, for structs are replaced often."""
    return _ArraysType(name, layout)


@register_model(_ArraysType)
class _Pointer(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _WORD.as_pointer())


@unbox(_ArraysType)
def _unbox(kind, value, c):
    address = c.pyapi.object_getattr_string(value, "_address")
    pointer = c.pyapi.long_as_voidptr(address)
    c.pyapi.decref(address)
    return NativeValue(c.builder.bitcast(pointer, _WORD.as_pointer()))


@infer_getattr
class _Attributes(AttributeTemplate):
    key = _ArraysType

    def generic_resolve(self, kind, name):
        return kind.field.get(name)


def _load(builder, table, at):
    """Load a word of the table, which no store in a kernel can change."""
    word = builder.load(builder.gep(table, [ir.Constant(_WORD, at)]))
    word.set_metadata("invariant.load", builder.module.add_metadata([]))
    return word


@lower_getattr_generic(_ArraysType)
def _getattr(context, builder, kind, table, name):
    at, field = kind.at[name], kind.field[name]
    array = context.make_array(field)(context, builder)
    data = builder.inttoptr(_load(builder, table, at), array.data.type)
    shape = [_load(builder, table, at + 1 + i) for i in range(field.ndim)]
    itemsize = ir.Constant(_WORD, np.dtype(str(field.dtype)).itemsize)
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(array, data, shape, strides, itemsize, None)
    return impl_ret_borrowed(context, builder, field, array._getvalue())
