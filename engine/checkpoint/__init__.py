"""How a simulation is saved in the middle of a run, and goes on in another process.

May import simulations and what is below them, not studies and output.  What a
checkpoint holds, and what steps must be for it: ``docs/checkpoints.md``.
"""
