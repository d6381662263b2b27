"""The programs of autonuma-benchmark, and the tables that were published with them.

programs     what each of the four programs does
published    tables of elapsed and System seconds and counts, as data
thread_moves threads that change their nodes meanwhile
write_bit    those of March 2015, when marks lost the write bit
every_table  all of them, by name
beside       ours beside a table on the screen
"""
