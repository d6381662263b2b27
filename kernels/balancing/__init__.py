"""NUMA balancing: what hint faults teach about where pages and tasks belong.

Imports ``placement`` and all that is below it.  In reading order: ``task_numa_work``
(the scan that marks), ``should_numa_migrate_memory`` (may a page move),
``task_numa_fault`` (what a fault notes), ``end_quantum`` (what the notes change),
``task_numa_placement`` (statistics, groups, the preferred node), ``numa_weight`` (what
a node is worth), ``task_numa_migrate`` (moving a task), ``numa_scan_period``.
"""
