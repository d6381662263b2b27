"""Lazy migration: pages are marked, and move when they are next touched.

Imports ``balancing``, ``placement`` and what is below them.  In reading order: ``mark``
(the walk that marks a range), ``hinting`` (PROT_NONE), ``swapcache`` and ``migcache``
(the page is parked in a cache), ``parked`` (what the two caches share), ``misplaced``
(should a page move: small and huge pages share it), ``lazy_row`` (many faults at once).
"""
