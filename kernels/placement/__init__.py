"""Where a page goes: on which node it is allocated, and how it gets to another one.

Imports what stands before it: ``frames`` and all that is below.  In reading order:
``mempolicy`` (policies, zonelists, a frame by policy, misplaced pages),
``vma_alloc_folio`` (a block by policy), ``migrate`` (one page), ``migrate_huge`` (one
huge page), ``moves`` (did a move pay), ``compaction`` (making a block wholly free).
"""
