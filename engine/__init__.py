"""The engine: state, time, daemons and output.

Names resolve on first use, so that importing the package does not load Numba.
"""

from importlib import import_module

_WHERE = {
    "Simulation": "simulation",
    "Settings": "settings.settings",
    "Costs": "settings.costs",
    "read_costs": "settings.cost_file",
    "measure_costs": "calibrate.calibrate",
    "Thp": "settings.thp",
    "Khugepaged": "settings.thp",
    "Tlb": "settings.tlb_size",
    "Balancing": "settings.numa_balancing",
    "Machine": "machine.machine",
    "machine": "machine.spec",
    "preset": "machine.presets",
    "uniform": "machine.presets",
    "watermarks": "machine.zones",
    "Policy": "state.policies",
    "Sweep": "workloads.kinds",
    "Uniform": "workloads.kinds",
    "Gups": "workloads.kinds",
    "Zipf": "workloads.kinds",
    "HotCold": "workloads.kinds",
    "Stream": "workloads.kinds",
    "Stencil": "workloads.kinds",
    "NextTouch": "workloads.kinds",
    "Recorded": "workloads.kinds",
    "Study": "study.study",
    "Variant": "study.study",
    "Column": "study.columns",
    "Field": "study.columns",
    "Records": "study.columns",
    "SUMMARY": "study.columns",
    "VERDICT": "study.columns",
    "THP": "study.columns",
    "THP_SHARE": "study.columns",
    "hide": "study.columns",
    "run_study": "run",
    "RunFile": "output.reader",
    "recover": "output.reader",
    "RunWriter": "output.writer",
    "LazyNumaError": "errors",
    "BadInput": "errors",
    "SimulationError": "errors",
    "parse_size": "settings.sizes",
    "format_size": "settings.sizes",
    "Mechanism": "..kernels.knobs",
    "Mode": "..kernels.knobs",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"lazynuma.engine has no {name!r}")
    where = _WHERE[name]
    module = import_module(where if where[0] == "." else f".{where}", __name__)
    return getattr(module, name)
