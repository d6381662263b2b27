"""What a simulation is made of: processes, VMAs and tasks, and the kernels' tables.

``world`` keeps the tables in step with the objects; ``page``, ``observation``,
``snapshot`` and ``numa_tasks`` look at them; ``check`` proves that they are right.  May
import settings, machine, workloads and what is below them.
"""
