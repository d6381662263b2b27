"""What is known of a page and of a frame; nothing here decides where a page goes.

Imports ``jit``, ``words``, ``counters``, ``knobs`` and ``state``.  In reading order:
``page_table`` (entries), ``vma`` (looking one up), ``rmap`` (from a frame to its PTEs),
``page_alloc`` (free frames), ``allotment`` (frames lent to shards), ``folio`` (huge
pages and their splits), ``huge_memory.pyx`` and ``huge_memory_call`` (512 words at a
time), ``swap_state`` (slots and entries), ``lru_batch`` (new pages), ``last_cpupid``
(the last hint fault), ``account`` (charges), ``resident`` (pages by node),
``look_ahead`` (prefetches).
"""
