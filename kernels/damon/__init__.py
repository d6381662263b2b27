"""What does DAMON see of memory, and what does it make of that?

``docs/model/damon.md``; mm/damon of Linux 6.12 to 6.16.
"""
