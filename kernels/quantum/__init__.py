"""The life of a quantum: who may do how many accesses, in which order, at what price.

Imports ``fault``, ``reclaim`` and what is below them.  In reading order: ``plan``
(quotas), ``price`` (what an access costs), ``team`` (threads that share a job),
``jobs`` (what they share), ``accesses`` (making and dealing them), ``serve`` and
``hits`` (a shard's queue), ``tlb``, ``barrier`` (what shards had to set aside, one by
one), ``fold`` (the sums), ``lock_wait`` (who waits for whom), with ``lock_queue`` and
``lock_readers``.
"""
