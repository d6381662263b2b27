"""What tasks do: the kinds of streams of accesses, and the rows that kernels read.

``kinds`` and ``recording`` are for users, ``rows`` for the loop of quanta.  May import
errors.
"""
