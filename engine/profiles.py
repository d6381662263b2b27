"""Which rules a kernel has: settings by the kernel's name.

A profile says what cannot be changed while the kernel runs, and what its knobs are at
the start; ``docs/model.md`` says what each switch means.
"""

from .balancing import Balancing
from .settings import Settings
from .transparent_hugepage import Khugepaged, Thp

#: 6.1, with THP always, as Debian builds it.
_LINUX_6_1 = Settings(
    # mbind(2) refuses MPOL_MF_LAZY with EINVAL: hidden from users since 3.8.
    mpol_mf_lazy=False,
    thp=Thp(enabled="always", defrag="always", min_free=True),
    khugepaged=Khugepaged(target="majority_mask"),
    # The scanner's memory of who used a VMA came in 6.4, tiering's knobs are off.
    balancing=Balancing(vma_pids=False),
)

PROFILES = {"linux-6.1": _LINUX_6_1}
