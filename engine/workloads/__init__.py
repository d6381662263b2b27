"""What tasks do: the kinds of streams of accesses, and the rows that kernels read.

``kinds`` and ``recordings`` are for users, ``rows`` for the loop of quanta.  May import
errors.
"""
