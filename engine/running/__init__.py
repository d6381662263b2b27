"""Runs of a study: of one variant from its first step to its row, and of many.

A ``Unit`` is a variant with a seed.  ``run_variant`` runs one; ``desk`` takes what
units find, and runs them in this process; ``side_by_side`` has workers run them, which
``executors`` start, which do what ``in_worker`` says and call by a ``line``.

May import studies, simulations and output; ``engine/run.py`` puts these together.
"""
