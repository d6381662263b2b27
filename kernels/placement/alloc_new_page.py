"""A frame for a page that nobody has touched before: a user's policy may say where."""

from ..jit.compile import inlined
from ..state import Info
from .asked import forget_answer, touched_base
from .mempolicy import alloc_serial, alloc_shard, policy_of, zonelist_of


@inlined
def alloc_new_page(m, s, task, at, policy, vpn, v):
    """Allocate a frame for a page of its own; NO_MEMORY or PUT_ASIDE if it fails.

    at      index of its PTE; ``v``: the row of its VMA
    policy  the row that has its memory policy: of the VMA, or of a part of its object
    """
    mode, mask, row = policy_of(m, task, policy)
    base, mask = zonelist_of(m, task, policy, vpn, 0, mode, mask, row)
    base = touched_base(m, s, task, at, v, policy, 1, base, mask)
    if s != m.info[Info.SHARDS]:
        pfn = alloc_shard(m, s, task, base, mask, mode)
    else:
        pfn = alloc_serial(m, task, base, mask, mode, True)
    if pfn >= 0:
        forget_answer(m, s)
    return pfn
