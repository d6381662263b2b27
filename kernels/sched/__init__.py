"""The scheduler: which CPU a task runs on, and when it is its turn.

Imports ``balancing`` and all that is below it.  ``load_balance`` looks at the CPUs at
each tick, ``find_busiest_queue`` says from which one to take a task, ``detach_tasks``
which one; ``run_delay`` lets tasks of one CPU wait for each other.
"""
