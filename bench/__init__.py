"""How fast: every kind of work beside the memory bandwidth of the same machine."""
