"""The engine: state, time, daemons and output; it may import kernels.

A user's file imports from here, by name, what is listed below.  A name is loaded at its
first use, so that importing the package does not load Numba; type checkers and editors
read the imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..kernels.counters import Level as Level
    from ..kernels.knobs import Mechanism as Mechanism
    from ..kernels.knobs import Mode as Mode
    from .calibrate.measure import measure_costs as measure_costs
    from .daemons import NEVER as NEVER
    from .daemons.damon import Damon as Damon
    from .daemons.damos import IntervalsGoal as IntervalsGoal
    from .daemons.damos import Quota as Quota
    from .daemons.damos import QuotaGoal as QuotaGoal
    from .daemons.damos import Scheme as Scheme
    from .daemons.damos import Watermarks as Watermarks
    from .daemons.mtier import mtier as mtier
    from .daemons.user_daemon import EACH_QUANTUM as EACH_QUANTUM
    from .doors.answers import DEFAULT as DEFAULT
    from .doors.answers import STAY as STAY
    from .doors.answers import Refusal as Refusal
    from .doors.answers import stay as stay
    from .doors.lazy_design import LazyDesign as LazyDesign
    from .doors.own_array import Own as Own
    from .doors.placement_policy import PlacementPolicy as PlacementPolicy
    from .doors.random_numbers import another_key as another_key
    from .doors.random_numbers import random_bits as random_bits
    from .doors.random_numbers import random_page as random_page
    from .doors.random_numbers import random_unit as random_unit
    from .doors.random_numbers import random_write as random_write
    from .errors import BadInput as BadInput
    from .errors import LazyNumaError as LazyNumaError
    from .errors import SimulationError as SimulationError
    from .machines.machine import Machine as Machine
    from .machines.presets import preset as preset
    from .machines.presets import uniform as uniform
    from .machines.spec import machine as machine
    from .machines.zones import watermarks as watermarks
    from .output.data_tree import open_run as open_run
    from .output.reader import RunFile as RunFile
    from .output.recovery import recover as recover
    from .output.writer import RunWriter as RunWriter
    from .run import run_study as run_study
    from .settings.cost_file import read_costs as read_costs
    from .settings.costs import Costs as Costs
    from .settings.locks import Locks as Locks
    from .settings.multigen_lru import LruGen as LruGen
    from .settings.numa_balancing import Balancing as Balancing
    from .settings.sampled_accesses import Sampling as Sampling
    from .settings.sched import Sched as Sched
    from .settings.settings import Settings as Settings
    from .settings.sizes import format_size as format_size
    from .settings.sizes import parse_size as parse_size
    from .settings.thp import Khugepaged as Khugepaged
    from .settings.thp import Thp as Thp
    from .settings.tlb_size import Tlb as Tlb
    from .simulation import Simulation as Simulation
    from .state.policies import Policy as Policy
    from .study.columns import SUMMARY as SUMMARY
    from .study.columns import THP as THP
    from .study.columns import THP_SHARE as THP_SHARE
    from .study.columns import VERDICT as VERDICT
    from .study.columns import Column as Column
    from .study.columns import Field as Field
    from .study.columns import Records as Records
    from .study.columns import hide as hide
    from .study.damon_records import DAMON_REGIONS as DAMON_REGIONS
    from .study.damon_records import record_damon as record_damon
    from .study.study import Study as Study
    from .study.study import Variant as Variant
    from .workloads.kinds import Gups as Gups
    from .workloads.kinds import HotCold as HotCold
    from .workloads.kinds import NextTouch as NextTouch
    from .workloads.kinds import Recorded as Recorded
    from .workloads.kinds import Stencil as Stencil
    from .workloads.kinds import Stream as Stream
    from .workloads.kinds import Sweep as Sweep
    from .workloads.kinds import Uniform as Uniform
    from .workloads.kinds import Zipf as Zipf
    from .workloads.own_workload import OwnWorkload as OwnWorkload
    from .workloads.phases import Phases as Phases
    from .workloads.recording import Recording as Recording

#: In which module each name is.
_WHERE = {
    "Level": "..kernels.counters",
    "Mechanism": "..kernels.knobs",
    "Mode": "..kernels.knobs",
    "measure_costs": ".calibrate.measure",
    "LazyDesign": ".doors.lazy_design",
    "Damon": ".daemons.damon",
    "IntervalsGoal": ".daemons.damos",
    "Quota": ".daemons.damos",
    "QuotaGoal": ".daemons.damos",
    "Scheme": ".daemons.damos",
    "Watermarks": ".daemons.damos",
    "mtier": ".daemons.mtier",
    "DEFAULT": ".doors.answers",
    "STAY": ".doors.answers",
    "Refusal": ".doors.answers",
    "stay": ".doors.answers",
    "Own": ".doors.own_array",
    "PlacementPolicy": ".doors.placement_policy",
    "NEVER": ".daemons",
    "EACH_QUANTUM": ".daemons.user_daemon",
    "BadInput": ".errors",
    "LazyNumaError": ".errors",
    "SimulationError": ".errors",
    "Machine": ".machines.machine",
    "machine": ".machines.spec",
    "preset": ".machines.presets",
    "uniform": ".machines.presets",
    "watermarks": ".machines.zones",
    "open_run": ".output.data_tree",
    "RunFile": ".output.reader",
    "recover": ".output.recovery",
    "RunWriter": ".output.writer",
    "run_study": ".run",
    "read_costs": ".settings.cost_file",
    "Costs": ".settings.costs",
    "Locks": ".settings.locks",
    "LruGen": ".settings.multigen_lru",
    "Balancing": ".settings.numa_balancing",
    "Sampling": ".settings.sampled_accesses",
    "Sched": ".settings.sched",
    "Settings": ".settings.settings",
    "format_size": ".settings.sizes",
    "parse_size": ".settings.sizes",
    "Khugepaged": ".settings.thp",
    "Thp": ".settings.thp",
    "Tlb": ".settings.tlb_size",
    "Simulation": ".simulation",
    "Policy": ".state.policies",
    "Column": ".study.columns",
    "Field": ".study.columns",
    "Records": ".study.columns",
    "SUMMARY": ".study.columns",
    "THP": ".study.columns",
    "THP_SHARE": ".study.columns",
    "VERDICT": ".study.columns",
    "hide": ".study.columns",
    "DAMON_REGIONS": ".study.damon_records",
    "record_damon": ".study.damon_records",
    "Study": ".study.study",
    "Variant": ".study.study",
    "Gups": ".workloads.kinds",
    "HotCold": ".workloads.kinds",
    "NextTouch": ".workloads.kinds",
    "Recorded": ".workloads.kinds",
    "Stencil": ".workloads.kinds",
    "Stream": ".workloads.kinds",
    "Sweep": ".workloads.kinds",
    "Uniform": ".workloads.kinds",
    "Zipf": ".workloads.kinds",
    "OwnWorkload": ".workloads.own_workload",
    "Phases": ".workloads.phases",
    "random_bits": ".doors.random_numbers",
    "random_page": ".doors.random_numbers",
    "random_unit": ".doors.random_numbers",
    "random_write": ".doors.random_numbers",
    "another_key": ".doors.random_numbers",
    "Recording": ".workloads.recording",
}

if not TYPE_CHECKING:  # or a name that does not exist would pass
    __all__ = sorted(_WHERE)

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"lazynuma.engine has no {name!r}")
        value = getattr(import_module(_WHERE[name], __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_WHERE})
