"""The state of a simulation in an HDF5 file, and back: all that later quanta hang on.

Everything is saved that a part of a simulation holds, but for what is named here as
made again, so that nothing new can be forgotten.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from ...kernels import state as st
from ...kernels.words import HPAGE_PMD_ORDER
from ..state.own_arrays import OwnArrays
from . import bounds, objects, packed_items
from .packed_items import CHUNK
from .plain import told, untold
from .written_parts import written

if TYPE_CHECKING:
    from ..simulation import Simulation

#: Attributes of each part of a simulation that are made again: by its constructor, from
#: the settings, or as they are of no use after a quantum.
MADE_AGAIN = {
    "": {
        *("machine", "settings", "costs", "seed", "observer", "policy", "batch"),
        "lazy",
        *("threads", "team", "daemons", "pause"),
        # Saved by themselves: objects, arrays, parts.
        *("processes", "tasks", "objects", "_memory", "tables", "_rows", "inodes"),
        *("prices", "locality", "locks", "epochs", "task_ticks", "khugepaged"),
        *("load_ticks", "samples", "user_daemons", "waking", "placement"),
    },
    "tables": set(),
    "_rows": {"nodes"},
    "inodes": set(),
    "prices": {"_bandwidth", "_latency"},
    "locality": set(),
    "locks": {"enabled", "_tables", "_work", "_owners"},
    "epochs": set(),
    "task_ticks": {"_scratch"},
    "load_ticks": set(),
    "samples": {"_listed", "_count"},
    "khugepaged": {
        *("_simulation", "knobs", "_enabled", "enabled", "_far", "_limits"),
        "_no_limits",
    },
}
#: Arrays with an item for each of what a user's arrays of pages and blocks have.
_LIKE = {"page": "pte", "block": "pmd"}
#: Arrays of the state that mean nothing after a quantum, and those of the machine.
NOT_SAVED = {
    *("freed", "zonelist", "cpu_node", "distance", "latency", "cost"),
    *("reach", "line_ns", "door", "asked", "own", "verbs", "verb_words"),
}


#: What ``objects.values_of`` tells of.
KINDS = (*objects.LISTS, "order", "daemons", "")


def sparse_names(memory: st.Memory) -> list[str]:
    """Return the arrays of which the host has only what was written."""
    names = [one.name for one in fields(memory)]
    return [name for name in names if _is_sparse(getattr(memory, name))]


def _is_sparse(array: np.ndarray) -> bool:
    """Tell whether ``host_memory.sparse`` made an array: it lies in a mapping."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is not None


def _part(simulation: "Simulation", name: str) -> Any:
    return getattr(simulation, name) if name else simulation


def _values(simulation: "Simulation", name: str) -> dict[str, Any]:
    """Return what a part of a simulation holds that is saved."""
    values = vars(_part(simulation, name)).items()
    return {key: value for key, value in values if key not in MADE_AGAIN[name]}


# --- saving ---------------------------------------------------------------------------


def save(simulation: "Simulation", group: h5py.Group) -> None:
    """Write the state of a simulation, which does not change, to a group."""
    nothing: objects.Values = {name: {} for name in KINDS}
    everything = {
        "objects": objects.changed(nothing, objects.values_of(simulation)),
        "parts": {name: told(_values(simulation, name)) for name in MADE_AGAIN},
    }
    write_text(group, "parts", json.dumps(everything))
    memory, threads = simulation._memory, simulation.threads
    sparse = sparse_names(memory)
    for name in (one.name for one in fields(memory)):
        array = getattr(memory, name)
        if name in NOT_SAVED:
            continue
        if name in sparse:
            length = _length(simulation, name)
            _save_sparse(group.create_group(name), array, length, threads)
        else:
            group.create_dataset(name, data=array)
    if simulation.placement is not None:
        _save_own(simulation, simulation.placement.own, group.create_group("own"))


def _save_own(simulation: "Simulation", own: OwnArrays, group: h5py.Group) -> None:
    """Write the arrays of the policy of a user's file, folded."""
    for one in own.arrays:
        values = own.values[one.name]
        if one.is_folded:
            group.create_dataset(one.name, data=values)
        else:
            length = _length(simulation, _LIKE[one.per])
            part = group.create_group(one.name)
            _save_sparse(part, values, length, simulation.threads)


def _load_own(simulation: "Simulation", group: h5py.Group) -> None:
    """Give the arrays of the policy what ``_save_own`` wrote."""
    placement, threads = simulation.placement, simulation.threads
    if placement is None:
        raise LookupError("there is no policy")
    simulation._memory = placement.update(simulation._memory)
    own = placement.own
    if set(group) != {one.name for one in own.arrays}:
        raise LookupError("the policy has other arrays")
    for one in own.arrays:
        values = own.values[one.name]
        if one.is_folded:
            own.put(one, _table(group[one.name], values))
        else:
            length = _length(simulation, _LIKE[one.per])
            _load_sparse(group[one.name], values, length, lambda block: None, threads)


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """Write a text as bytes of UTF-8."""
    raw = np.frombuffer(text.encode(), np.uint8)
    group.create_dataset(name, data=raw, compression="gzip", compression_opts=1)


def read_text(group: h5py.Group, name: str) -> str:
    """Return a text that ``write_text`` wrote."""
    dataset = group[name]
    if dataset.dtype != np.uint8 or dataset.ndim != 1:
        raise TypeError(f"{name} is no text")
    return bytes(dataset[()]).decode()


def _length(simulation: "Simulation", name: str) -> int:
    """Return how many items of a sparse array may be in use: the first ones."""
    memory = simulation._memory
    if name == "pte":
        return simulation._next_vpn
    if name in ("pmd", "vpn_family"):
        return simulation._next_vpn >> HPAGE_PMD_ORDER
    return int(getattr(memory, name).size)


def _save_sparse(
    group: h5py.Group, array: np.ndarray, length: int, threads: int
) -> None:
    """Write the parts of an array that hold something, one after the other.

    first, end  int64[parts]: where in the array each is
    values      their items; missing if there are none
    """
    parts = np.array(list(written(array, length)), np.int64).reshape(-1, 2)
    parts = _joined(parts)
    group.create_dataset("first", data=parts[:, 0])
    group.create_dataset("end", data=parts[:, 1])
    count = int((parts[:, 1] - parts[:, 0]).sum())
    blocks = (_block(array, some) for some in _batches(parts))
    packed_items.write(group, "values", blocks, count, threads)


def _block(array: np.ndarray, parts: list[tuple[int, int]]) -> np.ndarray:
    """Return the items of some parts; of one part alone it is no copy."""
    views = [array[first:end] for first, end in parts]
    return views[0] if len(views) == 1 else np.concatenate(views)


def _joined(parts: np.ndarray) -> np.ndarray:
    """Return parts with those joined that follow each other."""
    if not len(parts):
        return parts
    apart = np.flatnonzero(parts[1:, 0] != parts[:-1, 1])
    first = parts[np.concatenate([[0], apart + 1]), 0]
    end = parts[np.concatenate([apart, [len(parts) - 1]]), 1]
    return np.stack([first, end], axis=1)


def _batches(parts: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Yield parts, cut so that each batch but the last has ``CHUNK`` items."""
    batch: list[tuple[int, int]] = []
    room = CHUNK
    for first, end in parts.tolist():
        while first < end:
            stop = min(first + room, end)
            batch.append((first, stop))
            room -= stop - first
            first = stop
            if not room:
                yield batch
                batch, room = [], CHUNK
    if batch:
        yield batch


# --- loading --------------------------------------------------------------------------


def load(simulation: "Simulation", group: h5py.Group) -> None:
    """Give a simulation, on which nothing has run, the state in a group.

    Its settings must be those of the one that was saved.
    Raises one of ``WRONG`` or ``HDF5_ERRORS`` if the group does not hold such a state.
    """
    everything = json.loads(read_text(group, "parts"))
    objects.put(simulation, everything["objects"])
    simulation.khugepaged.configure(simulation.settings)
    for name, from_json in everything["parts"].items():
        _put_part(simulation, name, untold(from_json, simulation))
    memory, threads = simulation._memory, simulation.threads
    sizes = bounds.sizes_of(simulation)
    if not 0 <= simulation._next_vpn <= sizes.pages:
        raise ValueError("page tables lie outside")
    tables, sparse = {}, sparse_names(memory)
    for name in (one.name for one in fields(memory)):
        array = getattr(memory, name)
        if name in NOT_SAVED:
            continue
        if name in sparse:
            check = partial(bounds.check_block, name, sizes=sizes)
            length = _length(simulation, name)
            _load_sparse(group[name], array, length, check, threads)
        else:
            tables[name] = _table(group[name], array)
    simulation._memory = memory.replace(**tables)
    bounds.check_tables(simulation, memory)
    if simulation.placement is not None:
        _load_own(simulation, group["own"])


def _put_part(simulation: "Simulation", name: str, values: dict[str, Any]) -> None:
    part, known = _part(simulation, name), _values(simulation, name)
    if values.keys() != known.keys():
        raise LookupError(f"{name or 'simulation'} holds other things")
    for key, value in values.items():
        old = known[key]
        if isinstance(old, np.ndarray):
            _check_like(key, value, old)
        elif type(value) is not type(old) and key != "_process":
            raise TypeError(f"{key} is {type(value).__name__}")
        setattr(part, key, value)


def _check_like(name: str, array: Any, like: np.ndarray) -> None:
    """Raise TypeError unless an array has the dtype and the dimensions of another."""
    if array.dtype != like.dtype or array.ndim != like.ndim:
        raise TypeError(f"{name} is {array.dtype} in {array.ndim} dimensions")


def _table(dataset: h5py.Dataset, like: np.ndarray) -> np.ndarray:
    _check_like(dataset.name, dataset, like)
    return np.ascontiguousarray(dataset[()])


def _load_sparse(
    group: h5py.Group,
    array: np.ndarray,
    length: int,
    check: Callable[[np.ndarray], None],
    threads: int,
) -> None:
    first, end = (group[name][()] for name in ("first", "end"))
    parts = np.stack([first, end], axis=1)
    if parts.dtype != np.int64 or parts.ndim != 2:
        raise TypeError(f"{group.name} has no parts")
    edges = parts.ravel()
    if np.any(edges[1:] < edges[:-1]) or np.any(edges < 0) or np.any(edges > length):
        raise LookupError(f"{group.name} has parts outside of it")
    if not edges.size:
        return
    values = group["values"]
    _check_like(group.name, values, array)
    if values.size != (parts[:, 1] - parts[:, 0]).sum():
        raise TypeError(f"{group.name} has other items than parts")
    blocks = packed_items.read(values, check, threads)
    for some, block in zip(_batches(parts), blocks, strict=True):
        at = 0
        for low, high in some:
            array[low:high] = block[at : at + high - low]
            at += high - low
