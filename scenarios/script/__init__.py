"""Memory scripts (``.mm``): what would Linux do with these pages, step by step?

It imports the engine, the kernels' words and ``common``.

grammar   lines to checked operations
linux_settings  what ``set`` may set, and what Linux has and the model has not
player    operations to a simulation, and what it says as records
footprint  how much of the host's memory a script may take
records   the records of a script in the file of a run
"""
