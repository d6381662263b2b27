"""What tasks do: the kinds of streams of accesses, and the rows that kernels read.

``kinds`` is for users, ``rows`` for the loop of quanta.  May import errors.
"""
