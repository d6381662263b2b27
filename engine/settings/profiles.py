"""Which rules a kernel has: settings by the kernel's name.

A profile says what cannot be changed while the kernel runs, and what its knobs are at
the start; ``docs/model`` says what each switch means.
"""

from dataclasses import fields, replace

from .locks import Locks
from .numa_balancing import Balancing
from .settings import Settings
from .system_calls import SystemCalls
from .thp import Khugepaged, Thp

#: 6.1, with THP always, as Debian builds it.
_LINUX_6_1 = Settings(
    # mbind(2) refuses MPOL_MF_LAZY with EINVAL: hidden from users since 3.8.
    mpol_mf_lazy=False,
    lru_batches=True,
    thp=Thp(enabled="always", defrag="always", min_free=True),
    khugepaged=Khugepaged(target="majority_mask"),
    # The scanner's memory of who used a VMA came in 6.4, tiering's knobs are off.
    balancing=Balancing(vma_pids=False),
    calls=SystemCalls(
        # 6.10 and 6.9.
        preferred_many_balancing=False,
        mpol_weighted_interleave=False,
    ),
)

#: 6.12: as 6.1, the scanner asks who used a VMA (6.4, reworked in 6.7), migrate_pages
#: flushes TLBs once a batch (6.3); all calls.
_LINUX_6_12 = replace(
    _LINUX_6_1,
    balancing=Balancing(),
    calls=SystemCalls(),
    migrate_pages_batch=True,
    locks=Locks(mmap_lock_vma=True),
)

#: 3.8: the first NUMA balancing, by the node of the last fault, at most 1280 MB/s to a
#: node; system calls split huge pages that they move; khugepaged goes by a first page;
#: a write copies a shared huge page whole (until 5.7, 3917c80280c9); fallback lists
#: forget who was first of equals (until 5.16); nothing of what came after 3.8 exists.
_LINUX_3_8 = replace(
    _LINUX_6_1,
    thp=replace(_LINUX_6_1.thp, unit_migration=False, copy_on_write=True),
    accumulated_node_load=False,
    calls=SystemCalls(**{one.name: False for one in fields(SystemCalls)}),
    khugepaged=Khugepaged(target="first_page"),
    # Page tables of huge pages had no lock of their own before 3.13.
    locks=Locks(pmd_lock_scope="mm"),
    balancing=Balancing(
        filter="last_nid",
        local_last_cpupid=True,
        vma_pids=False,
        groups=False,
        placement=False,
        migrate_rate_limit_mbps=1280,
    ),
)

DEFAULT = "linux-6.1"
PROFILES = {
    "linux-3.8": _LINUX_3_8,
    "linux-6.1": _LINUX_6_1,
    "linux-6.12": _LINUX_6_12,
}
