"""Memory scripts (``.mm``): what would Linux do with these pages, step by step?

It imports the engine, the kernels' words and ``common``.

grammar   lines to checked operations
player    operations to a simulation, and what it says as records
records   the records of a script in the file of a run
"""
