"""The programs of autonuma-benchmark, and the tables that were published with them.

programs     what each of the four programs does
published    tables of elapsed and System seconds and counts, as data
beside       ours beside a table on the screen
"""
