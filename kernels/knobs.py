"""What is set: the values that settings may have, as kernels see them."""

from enum import IntEnum


class Mode(IntEnum):
    """Memory policies, with the values of include/uapi/linux/mempolicy.h (6.12)."""

    DEFAULT = 0
    PREFERRED = 1
    BIND = 2
    INTERLEAVE = 3
    LOCAL = 4
    PREFERRED_MANY = 5
    WEIGHTED_INTERLEAVE = 6


class Mechanism(IntEnum):
    """How MPOL_MF_LAZY makes the next touch of a page fault."""

    SWAPCACHE = 0
    MIGCACHE = 1
    HINTING = 2
    #: A design that was given from outside (``engine.LazyDesign``).
    OWN = 3


class ThpEnabled(IntEnum):
    """/sys/kernel/mm/transparent_hugepage/enabled."""

    NEVER = 0
    MADVISE = 1
    ALWAYS = 2


class Advice(IntEnum):
    """What madvise(2) said of a VMA."""

    NONE = 0
    HUGEPAGE = 1
    NOHUGEPAGE = 2


class ThpDefrag(IntEnum):
    """/sys/kernel/mm/transparent_hugepage/defrag."""

    NEVER = 0
    MADVISE = 1
    DEFER_MADVISE = 2
    DEFER = 3
    ALWAYS = 4


class TargetRule(IntEnum):
    """How khugepaged chooses the node of a collapse.

    ``first_page`` 2.6.38 to 3.12, ``majority_round_robin`` 3.13, ``majority_mask`` 6.1;
    ``random`` is what van Riel feared in July 2012.
    """

    FIRST_PAGE = 0
    MAJORITY_ROUND_ROBIN = 1
    MAJORITY_MASK = 2
    RANDOM = 3


class Balancing(IntEnum):
    """kernel.numa_balancing."""

    OFF = 0
    NORMAL = 1
    TIERING = 2
    BOTH = 3


class Filter(IntEnum):
    """What a hint fault must pass: nothing, ``last_nid`` of 3.8, or 6.12's rules.

    ``active_nodes`` 3.15 to 4.5: groups keep their pages on the nodes that they run on.
    """

    NONE = 0
    LAST_NID = 1
    LAST_CPUPID = 2
    ACTIVE_NODES = 3


class PeriodRule(IntEnum):
    """What makes a scan period longer or shorter.

    ``every_fault`` balancenuma v4, ``unmoved_fault`` 3.8 to 3.12, ``local_share`` 3.13
    to 4.13, ``statistics`` 4.14: groups and private faults count, too.
    """

    EVERY_FAULT = 0
    UNMOVED_FAULT = 1
    STATISTICS = 2
    LOCAL_SHARE = 3


class ScanCounts(IntEnum):
    """What a scan counts against its size.

    ``entries`` that it marked, to 3.12; ``chunks`` of which it marked something, 3.13.
    """

    ENTRIES = 0
    CHUNKS = 1


class Locality(IntEnum):
    """What NUMA balancing says of a task that the load balancer would move.

    ``none`` to 3.12; ``improves``: a move that improves locality is made even if the
    task is hot, 3.13; ``degrades``: one that degrades it is not made, 4.2.
    """

    NONE = 0
    IMPROVES = 1
    DEGRADES = 2


class WriteBit(IntEnum):
    """What a hinting mark does to the write bit of an entry of a private mapping.

    ``kept`` to 3.19 and since 4.0; ``lost_at_mark`` 4.0-rc1 (4d9424669946);
    ``lost_at_fault`` Gorman's first mend of it, 5 March 2015; ``lost_at_move`` 6.2: a
    page that a hint fault moves is mapped read-only, one that stays is not.
    """

    KEPT = 0
    LOST_AT_MARK = 1
    LOST_AT_FAULT = 2
    LOST_AT_MOVE = 3


class MarkUnless(IntEnum):
    """Which pages of private mappings the scanner leaves alone.

    ``page_mapcount``: two entries map the page, to 5.16; ``page_count``: anybody else
    refers to it, or to another page of its folio, 5.17; ``mapped_shared``: several
    processes map the folio, as far as Linux knows, 6.10.
    """

    PAGE_MAPCOUNT = 0
    PAGE_COUNT = 1
    MAPPED_SHARED = 2


class GroupIf(IntEnum):
    """Of which entries a hint fault lets tasks form a group (no TNF_NO_GROUP).

    ``write_bit`` 3.13 to 4.0-rc3 and 4.9 to 6.1, ``dirty`` 4.0-rc4, ``vm_write`` 4.0 to
    4.8, ``writable`` 6.2: the bit, or the page is its process's alone.
    """

    WRITE_BIT = 0
    DIRTY = 1
    VM_WRITE = 2
    WRITABLE = 3


class Topology(IntEnum):
    """init_numa_topology_type (kernel/sched/topology.c)."""

    DIRECT = 0
    GLUELESS_MESH = 1
    BACKPLANE = 2
