"""What can be set: the knobs and the costs, their defaults, ranges, units and help.

``knob`` declares and checks them; ``parameters`` reads what people type;
``knob_columns`` writes what kernels read; ``profiles`` are the knobs of real kernels.
May import errors.
"""
