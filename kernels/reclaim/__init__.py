"""What happens when memory runs out: which pages leave their node, and how.

Imports ``placement`` and all that is below it, and ``fault`` for the pages of shared
mappings.  In reading order: ``vmscan`` (kswapd, direct reclaim, the lists),
``vmscan_huge`` (the same of huge pages), ``demotion`` (to a slower tier before swap).
"""
