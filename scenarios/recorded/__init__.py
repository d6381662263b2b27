"""Recorded traces: what would this program have cost on another machine?

It imports the engine, the kernels' words and ``common``.  ``lazynuma replay`` runs it.

replay    a trace as a study of one variant or several
dense     recorded addresses and threads, numbered without gaps
compared  what variants share: the trace; columns, and whether balancing pays
regions   what was accessed in each mapping that has a name, and where it lies
"""
