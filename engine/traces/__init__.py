"""What a real program did: recorded traces as chunks of accesses.

A format is a module with ``NAME``, ``is_mine(window)`` and ``chunks(window, trace)``,
and an entry in ``trace.FORMATS``.  Text formats share ``text`` and its parser.  May
import errors.
"""
