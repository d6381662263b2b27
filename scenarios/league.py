"""Whose pages are where: published policies of tiered memory, side by side.

Each workload runs on each machine with each policy: the same accesses, the same costs,
the same seed.  The world is smaller than the machines that it stands for, and its
policies' times are as much shorter (``stands_for``): what is 64 GiB and minutes there
is 256 MiB and a second here, so that scanners, samplers and coolings of seconds and
minutes come round several times.

Beside the table stands what is published: which policy was faster than which, on what.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..engine.errors import BadInput, did_you_mean
from ..engine.machines.machine import Machine
from ..engine.settings.thp import Thp
from ..engine.simulation import Simulation
from ..engine.study.columns import SUMMARY, Column, hide
from ..engine.study.study import Study, Variant
from . import tiering_policies
from .common.claim import reduced
from .common.question_columns import first, share
from .contest.league_table import report, verdict
from .contest.tier_ledger import TierLedger
from .contest.tiered_loads import LOADS, Load, crowd_of, mapped, start
from .contest.tiered_machines import MACHINES, fast_nodes
from .tiering_policies import Scale, rival

#: Length of a quantum, and how often pages are looked for, on the large machine, ns.
QUANTUM_NS = 256_000_000
LOOK_NS = 1_024_000_000
#: An output epoch on the large machine, ns.
EPOCH_NS = 64_000_000_000

COLUMNS = first(
    (
        share(
            *("fast_share", "fast"),
            "share of the lines that all tasks read or wrote in the fastest tier",
        ),
        Column(
            "pages_promoted",
            "promoted",
            "page",
            "pages that were on a faster tier than at the look before",
        ),
        Column(
            "pages_demoted",
            "demoted",
            "page",
            "pages that were on a slower tier than at the look before",
        ),
        Column(
            "pages_moved_back",
            "moved back",
            "page",
            "of both, pages that came back to the tier that they had left last",
        ),
        Column(
            "system_time_ns",
            "system",
            "ns",
            "time of all tasks in the kernel, and of daemons, added up",
            style="seconds",
        ),
    )
)
_OWN = {column.name for column in COLUMNS}
_SHOWN = ("run_time_ns", *_OWN)
#: Parameters of the size that is held against published orders.
_SIZES = ("memory", "stands_for", "tasks", "accesses", "refs")


@dataclass(frozen=True)
class Parameters:
    """What can be set."""

    memory: int = field(
        default=256 << 20, metadata={"kind": "size", "help": "RAM of each machine"}
    )
    stands_for: int = field(
        default=64 << 30,
        metadata={
            "kind": "size",
            "help": "RAM of the machine that it stands for: times and sizes of the"
            " policies are as much smaller",
        },
    )
    workloads: tuple[str, ...] = field(
        default=tuple(LOADS), metadata={"help": "workloads"}
    )
    machines: tuple[str, ...] = field(
        default=tuple(MACHINES), metadata={"help": "machines"}
    )
    policies: tuple[str, ...] = field(
        default=tiering_policies.NAMES, metadata={"help": "policies"}
    )
    tasks: int = field(default=32, metadata={"min": 2, "help": "threads"})
    accesses: int = field(
        default=300_000, metadata={"min": 2, "help": "accesses of each thread"}
    )
    refs: int = field(
        default=16,
        metadata={
            "min": 1,
            "max": 1 << 16,
            "help": "cache lines that an access stands for",
        },
    )
    thp: Thp = Thp()


def build(parameters: Parameters) -> Study:
    """Return the study: every workload on every machine with every policy."""
    workloads = _chosen("workload", parameters.workloads, tuple(LOADS))
    machines = _chosen("machine", parameters.machines, tuple(MACHINES))
    policies = _chosen("policy", parameters.policies, tiering_policies.NAMES)
    if parameters.stands_for < parameters.memory:
        raise BadInput(
            f"stands_for must be at least memory, {parameters.memory}, got"
            f" {parameters.stands_for}"
        )
    made = {
        name: MACHINES[name](parameters.memory, parameters.tasks) for name in machines
    }
    variants = [
        _variant(parameters, workload, made[machine], policy)
        for workload in workloads
        for machine in machines
        for policy in policies
    ]
    small = reduced(parameters, Parameters(), _SIZES)
    summary = tuple(column for column in SUMMARY if column.name not in _OWN)
    unseen = [column.name for column in summary if column.name not in _SHOWN]
    return Study(
        __doc__,
        ("workload", "machine", "policy"),
        tuple(variants),
        (*hide(summary, *unseen), *COLUMNS),
        report=partial(report, small=small),
        verdict=partial(verdict, small=small),
        group=lambda row: f"{row['workload']}, {row['machine']}",
        varied=("balancing.mode", "balancing.demotion"),
    )


def _chosen(what: str, names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return names that are known and differ; raise BadInput otherwise."""
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise BadInput(
                f"{what} must be one of {', '.join(known)}, got {name!r}{near}"
            )
    if len(set(names)) < len(names) or not names:
        raise BadInput(f"{what} must be named, each once, got {', '.join(names)!r}")
    return names


def _variant(
    parameters: Parameters, workload: str, machine: Machine, policy: str
) -> Variant:
    load = LOADS[workload]
    shrunk = parameters.stands_for / parameters.memory
    scale = Scale(shrunk, parameters.refs * load.lines)
    how = rival(policy, scale)
    settings = replace(
        how.settings(machine),
        quantum_ns=scale.time(QUANTUM_NS),
        epoch_ns=scale.time(EPOCH_NS),
        thp=parameters.thp,
    )
    return Variant(
        (workload, machine.name, policy),
        machine,
        settings,
        partial(_steps, parameters=parameters, load=load, policy=policy, scale=scale),
        accesses=int(parameters.tasks * parameters.accesses * load.part),
        mapped_pages=mapped(load, machine),
        policy=how.policy,
    )


def _steps(
    simulation: Simulation,
    parameters: Parameters,
    load: Load,
    policy: str,
    scale: Scale,
) -> dict[str, float]:
    job = start(simulation, load, parameters.tasks)
    rival(policy, scale).start(simulation, job.process, job.region)
    count = max(2, int(parameters.accesses * load.part))
    lines = count * scale.refs
    crowd = crowd_of(simulation, load, job, parameters.tasks, lines)
    load.fill(simulation, job)
    simulation.synchronize()
    machine = simulation.machine
    ledger = TierLedger(job.region, machine.tier, simulation.now, scale.time(LOOK_NS))
    simulation.start_daemon(ledger)
    simulation.run([*load.work(job, count, scale.refs), *crowd])
    ledger.look(simulation)
    moved = simulation.traffic().sum(axis=0)
    fast = moved[fast_nodes(machine)].sum()
    took = max(simulation.clock(task) for task in job.tasks)
    return {
        "run_time_ns": float("nan") if simulation.oom_kills else took,
        "fast_share": float(fast / moved.sum()),
        "pages_promoted": ledger.promoted,
        "pages_demoted": ledger.demoted,
        "pages_moved_back": ledger.moved_back,
    }
