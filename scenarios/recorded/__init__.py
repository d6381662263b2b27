"""Recorded traces: what would this program have cost on another machine?

It imports the engine, the kernels' words and ``common``.  ``lazynuma replay`` runs it.

replay   a trace as a study of one variant
dense    recorded addresses and threads, numbered without gaps
"""
