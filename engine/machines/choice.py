"""The parameters ``machine`` and ``memory`` of a scenario, as its users set them."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..settings.sizes import format_size
from .machine import Machine

Parameters = TypeVar("Parameters")

_NODES = "one number for each node"
_MATRIX = f"{_NODES}, or for each pair of CPU node and memory node, row by row"


@dataclass(frozen=True)
class MachineChoice:
    """A machine by name, and what is known of it beside its description.

    Nodes are in the order of their numbers.
    """

    name: str = field(
        default="4s",
        metadata={
            "help": "preset, host, or a file or folder that describes a machine:"
            " numactl -H, lscpu, hwloc XML, sysfs"
        },
    )
    cpus: tuple[int, ...] | None = field(
        default=None, metadata={"min": 0, "help": f"CPUs: {_NODES}"}
    )
    distance: tuple[int, ...] | None = field(
        default=None, metadata={"kind": "matrix", "help": "SLIT, row by row"}
    )
    tier: tuple[int, ...] | None = field(
        default=None, metadata={"min": 0, "help": f"memory tier, 0 first: {_NODES}"}
    )
    latency_ns: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "kind": "matrix",
            "min": 1,
            "max": 10**9,
            "help": f"latency: {_MATRIX}",
        },
    )
    bandwidth_gbps: tuple[float, ...] | None = field(
        default=None,
        metadata={"kind": "matrix", "min": 0, "max": 10**6, "help": f"GB/s: {_MATRIX}"},
    )
    hmat: str | None = field(
        default=None,
        metadata={"help": "file with the HMAT table, as iasl -d prints it"},
    )
    mlc: str | None = field(
        default=None, metadata={"help": "file with the output of Intel mlc"}
    )


def machine_field(default: str, about: str = "") -> Any:
    """Return the field ``machine`` of a scenario's parameters."""
    return field(default=MachineChoice(default), metadata={"help": about})


def memory_field(default: int) -> Any:
    """Return the field ``memory`` of a scenario: None, or bytes of the whole machine.

    default  bytes of a preset's nodes, if the user does not say
    """
    return field(
        default=None,
        metadata={
            "kind": "size",
            "shown": format_size(default).replace(" ", ""),
            "help": "RAM of the machine; one that a file describes has its own",
        },
    )


def with_memory(parameters: Parameters, machine: Machine) -> Parameters:
    """Return parameters whose ``memory`` is that of the machine if nobody set it."""
    if getattr(parameters, "memory") is not None:  # noqa: B009
        return parameters
    return replace(parameters, memory=sum(machine.memory))  # type: ignore[type-var]
