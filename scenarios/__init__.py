"""The top floor: why we look.

Each file directly in this folder is one question: a docstring whose first line says it,
a dataclass ``Parameters`` and ``build(parameters)``, which returns a Study.  ``lazynuma
run`` finds a question by its file's name, so a new file is a new scenario.

A question imports the engine, the kernels' words and ``common``, never another
question.

common     what several questions share: mechanisms, tasks, columns, the table
recorded   the replay of a recorded trace
script     memory scripts (``.mm``)
cli        the command line
"""
