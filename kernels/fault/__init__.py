"""What a fault does: which one it is, and the ones that move nothing.

Imports ``lazy``, for the faults that move pages, and what is below it.  In reading
order: ``memory`` (which fault, and small pages), ``anon_page`` (a new page, a copy),
``huge_pmd`` (whole blocks), ``shmem`` (shared mappings), ``fault_row`` (many faults of
one kind in a row: looked up once, counted once).
"""
