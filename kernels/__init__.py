"""The kernels: what Linux does to a page, in the order in which the page meets it.

A file imports only from its own folder and from what stands before it in this list.

``words``      the bits of an entry, a frame, a folio and an access
``counters``   what is counted, ``knobs`` what is set
``jit``        what knows Numba: decorators, arrays behind one pointer, atomics
``draws``      random numbers, ``state`` every array and its columns
``frames``     what is known of a page: entries, frames, folios, slots, free blocks
``placement``  on which node it is allocated, and how it gets to another one
``balancing``  what hint faults teach about pages and tasks
``sched``      which CPU a task runs on, and when it is its turn
``lazy``       how it is marked, and moves when it is next touched
``fault``      what happens when an access finds no usable entry
``reclaim``    how it leaves when memory runs out
``calls``      what a system call does to it
``quantum``    in which order accesses happen, and what they cost
``thp``        how 512 of them become one huge page

The road of one access: ``quantum`` generates it and serves it if it hits.  If not,
``fault`` decides, and ``lazy`` moves the page if it is marked, with ``placement``.
``reclaim`` makes room at the barrier.  ``docs/model/README.md`` has the rules.
"""
