"""A study whose variants do what a test says."""

from lazynuma.engine.machines.presets import preset
from lazynuma.engine.settings.settings import Settings
from lazynuma.engine.study.columns import SUMMARY
from lazynuma.engine.study.study import Study, Variant


def study_of(*names, columns=SUMMARY, steps=lambda simulation: {}):
    machine = preset("2s", 1 << 30)
    variants = [Variant(name, machine, Settings(), steps, 0, 16) for name in names]
    return Study("Does it run?", "mechanism", tuple(variants), columns)
