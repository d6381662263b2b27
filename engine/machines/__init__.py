"""What a run simulates: nodes with memory and CPUs, their distances and watermarks.

A machine comes from a preset, from sysfs or from the output of numactl; ``spec`` finds
it by the text that a user types.  May import settings and errors.
"""
