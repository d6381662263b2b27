"""Time: the loop of quanta, its threads, its prices, and kills when memory runs out.

``loop`` reads as one line a stage.  May import calls, results, daemons and what is
below them.
"""
