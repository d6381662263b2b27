"""Values as JSON and back, exactly: numbers, texts, arrays, and the engine's own kinds.

Nothing but these can be read, so that reading a stranger's text runs nothing.
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kernels import counters, knobs
from ..errors import BadScenario
from ..state.numa_tasks import NumaGroup, NumaTask
from ..state.observation import Observation
from ..state.page import Page
from ..state.policies import Policy
from ..state.process import Process, Region, Shmem, Task
from ..state.snapshot import BlockKind

if TYPE_CHECKING:
    from ..simulation import Simulation

_PLAIN = (type(None), bool, int, float, str)
_TUPLES = {
    one.__name__: one
    for one in (Policy, Region, Page, NumaTask, NumaGroup, Observation)
}
_ENUMS = {
    one.__name__: one
    for module in (knobs, counters)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, Enum)
} | {"BlockKind": BlockKind}
#: Kinds of dtypes that an array, or a field of its items, may have: no objects.
_DTYPES = "biufSU"
#: What ``untold`` raises for what ``told`` did not make.
WRONG = (ValueError, LookupError, TypeError, ArithmeticError, StopIteration, zlib.error)
#: Arrays of more bytes than this are compressed.
_SHORT = 256


def told(value: Any) -> Any:
    """Return a value as what JSON knows; BadScenario if it is of no kind that is kept.

    Processes, tasks and shared objects are told by their numbers.
    """
    if type(value) in _PLAIN:
        return value
    if type(value) is list:
        return [told(one) for one in value]
    kind = type(value).__name__
    if isinstance(value, Enum):
        return {"enum": [kind, value.value]} if kind in _ENUMS else _refuse(value)
    if isinstance(value, np.ndarray | np.generic):
        return {"array" if isinstance(value, np.ndarray) else "scalar": _packed(value)}
    if isinstance(value, Process | Task | Shmem):
        return {"object": _number(value)}
    if isinstance(value, tuple):
        parts = [told(one) for one in value]
        if type(value) is tuple:
            return {"tuple": parts}
        return {kind: parts} if kind in _TUPLES else _refuse(value)
    if isinstance(value, dict):
        pairs = [[told(one) for one in pair] for pair in value.items()]
        return {"dict": pairs}
    return _refuse(value)


def _refuse(value: Any) -> Any:
    raise BadScenario(
        "calls of steps must return what a checkpoint can hold, got"
        f" {type(value).__module__}.{type(value).__name__}"
    )


def _packed(value: "np.ndarray | np.generic") -> list:
    array = np.ascontiguousarray(value)
    if not _is_plain(array.dtype):
        _refuse(value)
    raw = array.tobytes()
    short = len(raw) <= _SHORT
    text = b64encode(raw if short else zlib.compress(raw, 1)).decode("ascii")
    dtype = array.dtype.descr if array.dtype.names else array.dtype.str
    return [dtype, list(np.shape(value)), short, text]


def _is_plain(dtype: np.dtype) -> bool:
    """Tell whether items are numbers or texts, or have such fields and nothing else."""
    if dtype.fields is None:
        return dtype.kind in _DTYPES
    kinds = [one[0] for one in dtype.fields.values()]
    return all(kind.kind in _DTYPES for kind in kinds) and dtype.itemsize == sum(
        kind.itemsize for kind in kinds
    )


def _unpacked(packed: list) -> np.ndarray:
    kind, shape, short, text = packed
    if isinstance(kind, list):
        dtype = np.dtype([(str(name), str(one)) for name, one in kind])
    else:
        dtype = np.dtype(str(kind))
    if not _is_plain(dtype):
        raise ValueError(f"an array of {dtype}")
    raw, size = b64decode(text), dtype.itemsize
    for length in shape:
        size *= length
    if not short:
        raw = zlib.decompressobj().decompress(raw, size)
    return np.frombuffer(bytearray(raw), dtype).reshape(shape)


def _number(one: Process | Task | Shmem) -> list:
    if isinstance(one, Shmem):
        return ["objects", one.ino]
    return ["processes" if isinstance(one, Process) else "tasks", one.id]


def _object(simulation: "Simulation", name: str, number: int) -> Any:
    if name == "objects":
        return next(one for one in simulation.objects if one.ino == number)
    if name not in ("processes", "tasks") or number < 0:
        raise LookupError(f"{name} {number}")
    return getattr(simulation, name)[number]


def untold(from_json: Any, simulation: "Simulation") -> Any:
    """Return the value that ``told`` was given, with the simulation's own objects.

    Raises one of ``WRONG`` for anything else.
    """
    if isinstance(from_json, list):
        return [untold(one, simulation) for one in from_json]
    if not isinstance(from_json, dict):
        return from_json
    ((kind, value),) = from_json.items()
    if kind in _TUPLES:
        return _TUPLES[kind](*(untold(one, simulation) for one in value))
    if kind == "dict":
        return {untold(key, simulation): untold(one, simulation) for key, one in value}
    if kind == "tuple":
        return tuple(untold(one, simulation) for one in value)
    if kind == "object":
        return _object(simulation, *value)
    return _READERS[kind](value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "enum": lambda value: _ENUMS[value[0]](value[1]),
    "array": _unpacked,
    "scalar": lambda value: _unpacked(value)[()],
}


def digest_of(*values: Any) -> str:
    """Return 16 letters that are others if a value is another one.

    Objects that have a number are known by it, arrays by what they hold, functions and
    what else has no value of its own by their type.
    """
    text = json.dumps([_shape(one) for one in values])
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _shape(value: Any) -> Any:
    if isinstance(value, Enum):
        return [type(value).__name__, value.name]
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        return _shape(value.item())
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), zlib.crc32(value.tobytes())]
    if isinstance(value, Process | Task):
        return [type(value).__name__, value.id]
    if isinstance(value, Mapping):
        return [[_shape(key), _shape(one)] for key, one in value.items()]
    if isinstance(value, list | tuple | range):
        return [_shape(one) for one in value]
    if is_dataclass(value):
        values = [_shape(getattr(value, one.name)) for one in fields(value)]
        return [type(value).__name__, values]
    return type(value).__name__
