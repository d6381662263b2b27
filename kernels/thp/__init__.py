"""How small pages become a huge page: khugepaged's scan and the collapse.

Imports ``calls`` and what is below it; ``engine/daemons`` wakes it.  In reading order:
``khugepaged.pyx`` (what the scan of a block finds, and which node is the target),
``collapse`` (allocating the block, releasing the old pages, mapping the new one).  How
huge pages fault, split and move is in ``fault``, ``frames`` and ``placement``.
"""
