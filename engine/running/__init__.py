"""One variant from its first step to its row, and the file that it reports to.

May import studies, simulations and output; ``engine/run.py`` puts variants together.
"""
