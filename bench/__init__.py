"""How fast: each kind of work beside the memory bandwidth of the same machine.

It imports the package as its users do, ``from lazynuma.engine import ..``, and nothing
imports it.

cases         the kinds of work, and a world to do them in
ceiling       what memory alone allows: the bare loop beside each case
trace_rates   readers of traces beside the programs that write them
peers         cache simulators and the Linux that is running, on the same accesses
host          the machine that was measured
"""
