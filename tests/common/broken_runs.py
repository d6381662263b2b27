"""Runs that are left at random moments and go on from their checkpoints."""

from dataclasses import fields

import numpy as np

from lazynuma.engine import Costs, Simulation
from lazynuma.engine.checkpoint import image, objects
from lazynuma.engine.checkpoint.keeper import Keeper, Suspended
from lazynuma.engine.checkpoint.plain import told
from lazynuma.engine.checkpoint.written_parts import written
from lazynuma.engine.running.row_observer import RowObserver

#: More runs than this are taken for one that never ends.
MOST = 200


def unasked():
    """Return the answer that nothing is due."""
    return 0


def in_pieces(path, rng, every, run):
    """Do ``run(keeper, rows)`` again until it ends; return (rows, its result, stops).

    It is left after 1 to ``every`` quanta and calls, and its rows that the checkpoint
    does not know are lost, as those of a killed process are.
    """
    rows = []
    for stops in range(MOST):
        left = [rng.randint(1, every)]

        def due(left=left):
            left[0] -= 1
            return 2 if left[0] <= 0 else 0

        keeper = Keeper(path, {}, due=due, flushed=lambda: {"rows": len(rows)})
        del rows[keeper.rows.get("rows", 0) :]
        try:
            return rows, run(keeper, rows), stops
        except Suspended:
            rows.append("lost")
    raise AssertionError("the run never ends")


def drive(variant, rows, keeper=None, threads=1):
    """Run a variant; return (its values, all that its simulation is at the end)."""
    observer = RowObserver(lambda *row: rows.append(row), lambda accesses, now: None)
    own = variant.costs(Costs()) if variant.costs else Costs()
    simulation = Simulation(
        variant.machine, variant.settings, own, threads=threads, observer=observer
    )
    try:
        values = variant.steps(keeper.stand_in(simulation) if keeper else simulation)
        if keeper:
            keeper.steps_ended()
        simulation.flush_epoch()
        return {**simulation.summary(), **(values or {})}, state(simulation)
    finally:
        simulation.close()


def state(simulation):
    """Return all arrays, objects and other values of a simulation."""
    memory, found = simulation._memory, {}
    for name in (one.name for one in fields(memory)):
        array = getattr(memory, name)
        if name == "freed":  # of no use after a quantum
            continue
        if name in image.sparse_names(memory):
            length = image._length(simulation, name)
            parts = [
                (*part, array[slice(*part)].copy()) for part in written(array, length)
            ]
            found[name] = parts
        else:
            found[name] = array.copy()
    found["parts"] = {
        name: told(image._values(simulation, name)) for name in image.MADE_AGAIN
    }
    found["objects"] = objects.values_of(simulation)
    found["objects"] = objects.changed(
        {name: {} for name in found["objects"]}, found["objects"]
    )
    return found


def differences(one, other, where=""):
    """Return where two values differ, arrays in them too."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = [differences(one[k], other[k], f"{where}.{k}") for k in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} items"]
        pairs = enumerate(zip(one, other, strict=True))
        found = [differences(*pair, f"{where}[{i}]") for i, pair in pairs]
    elif isinstance(one, np.ndarray) and one.dtype.kind != "S":
        same = np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        return [] if same else [f"{where}: arrays"]
    else:
        same = one == other or (one != one and other != other)
        return [] if same else [f"{where}: {one!r} and {other!r}"]
    return [line for lines in found for line in lines]
