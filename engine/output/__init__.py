"""The file of a run: how it is written, kept readable after a kill, and read.

``schema`` says what is in it, ``writer`` adds rows to its tables; ``lock``, ``space``
and ``superblock`` keep it whole; ``reader`` opens it in any state and ``describe`` sums
it up.  May import study, state and what is below them.
"""
