"""The machine that a user means: a preset, a description, or this host."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import BadInput
from ..settings.sizes import format_size, parse_size
from . import formats, hmat, mlc
from .choice import MachineChoice
from .firmware import Firmware, from_firmware, warn
from .known import with_bandwidth, with_latency, with_measured_tiers
from .machine import Machine, default_system, from_slit, split_cpus
from .presets import PRESETS, preset


def machine(
    spec: str | os.PathLike | MachineChoice,
    memory: str | int | None = None,
    preset_memory: int | None = None,
) -> Machine:
    """Return the machine that ``spec`` means: a preset, ``"host"``, or a file.

    The file or folder is one that ``formats`` reads.  With ``memory``, a size, the
    machine has that much RAM in all, split in the proportions of its nodes.  Otherwise
    it has what its description says; a preset, and a description that does not say,
    has ``preset_memory``.

    Raises BadInput if nothing is found, with the nearest names, or what is found
    cannot be used.
    """
    choice = spec if isinstance(spec, MachineChoice) else MachineChoice(str(spec))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = _with_known(_found(choice, memory, preset_memory), choice)
    # What is to be said of it is said once, however often it was changed here.
    for text in dict.fromkeys(str(one.message) for one in said):
        warn(text)
    return made


def is_preset(spec: str | os.PathLike | MachineChoice) -> bool:
    """Tell whether a preset is meant, which has no size of its own."""
    return (spec.name if isinstance(spec, MachineChoice) else str(spec)) in PRESETS


def _found(
    choice: MachineChoice, memory: str | int | None, preset_memory: int | None
) -> Machine:
    """Return the machine without what is known beside its description."""
    name = choice.name
    if name in PRESETS:
        found = preset(name, preset_memory if memory is None else memory)
        return _with_shape(found, choice)
    if name == "host":
        facts = formats.host()
    else:
        name, facts = formats.read(name)
    if facts.sizes is None:
        facts, memory = _equal_sizes(name, facts, memory, preset_memory), None
    found = _with_shape(from_firmware(name, _shaped(facts, choice)), choice)
    if memory is not None:
        found = _resized(found, parse_size(memory, "memory"))
    return _with_facts(found, facts)


def _shaped(facts: Firmware, choice: MachineChoice) -> Firmware:
    """Return facts that lack CPUs with as many as the user says."""
    if choice.cpus is None or any(facts.cpu_lists):
        return facts
    if len(choice.cpus) != len(facts.numbers):
        return facts
    ends = np.cumsum(choice.cpus).tolist()
    lists = [range(end - n, end) for end, n in zip(ends, choice.cpus, strict=True)]
    return facts._replace(cpu_lists=lists)


def _equal_sizes(
    name: str, facts: Firmware, memory: str | int | None, preset_memory: int | None
) -> Firmware:
    """Return facts whose nodes, with CPUs, have equal shares of the memory."""
    total = preset_memory if memory is None else parse_size(memory, "memory")
    if total is None:
        raise BadInput(f"memory must be given: {name} does not say it")
    shares = [int(bool(cpus)) for cpus in facts.cpu_lists]
    if not any(shares):
        shares = [1] * len(shares)
    if memory is None:
        warn(
            f"memory should be given: {name} does not say it, and is taken to have"
            f" {format_size(total)}, in equal parts on its nodes with CPUs"
        )
    return facts._replace(sizes=split_cpus(total, shares, name))


def _with_shape(found: Machine, choice: MachineChoice) -> Machine:
    """Return the machine with the CPUs and distances that the user says."""
    if choice.cpus is None and choice.distance is None:
        return found
    distance, cpus, lists = found.distance, found.cpus, found.cpu_lists
    if choice.distance is not None:
        distance = _square(choice.distance, found.nodes, "distance")
    if choice.cpus is not None and tuple(choice.cpus) != cpus:
        cpus, lists = tuple(choice.cpus), None
    return from_slit(
        found.name,
        found.memory,
        cpus,
        distance,
        system=found.system,
        cpu_lists=lists,
        numbers=found.numbers,
    )


def _resized(found: Machine, total: int) -> Machine:
    """Return the machine with so many bytes, in the proportions of its nodes."""
    sizes = split_cpus(total, found.memory, found.name)
    return replace(found, memory=sizes, system=default_system(sizes))


def _with_facts(found: Machine, facts: Firmware) -> Machine:
    """Return the machine with what its description says beyond the SLIT."""
    if facts.latency and any(facts.latency):
        found = with_latency(found, facts.latency)
    if facts.bandwidth and any(facts.bandwidth):
        found = with_bandwidth(found, facts.bandwidth)
    if facts.tier is not None:
        return replace(found, tier=tuple(facts.tier))
    measured = facts.latency and facts.bandwidth and any(facts.latency)
    return with_measured_tiers(found) if measured else found


def _with_known(found: Machine, choice: MachineChoice) -> Machine:
    """Return the machine with what its user knows of it."""
    if choice.hmat is not None:
        found = hmat.with_hmat(found, formats.text_of(choice.hmat, "machine.hmat"))
    if choice.mlc is not None:
        found = mlc.with_mlc(found, formats.text_of(choice.mlc, "machine.mlc"))
    if choice.latency_ns is not None:
        found = with_latency(found, [max(1, round(v)) for v in choice.latency_ns])
    if choice.bandwidth_gbps is not None:
        found = with_bandwidth(found, [_bytes(v) for v in choice.bandwidth_gbps])
    if choice.tier is not None:
        found = replace(found, tier=choice.tier)
    return found


def _bytes(gigabytes: float) -> int:
    return max(1, round(gigabytes * 1_000_000_000))


def _square(values: Sequence[int], nodes: int, name: str) -> np.ndarray:
    if len(values) != nodes * nodes:
        raise BadInput(
            f"{name} must have {nodes * nodes} numbers, row by row, got {len(values)}"
        )
    return np.array(values, np.int64).reshape(nodes, nodes)
