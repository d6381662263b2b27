"""The tables of March 2015: what the loss of the write bit cost, and how it was mended.

``docs/model/balancing.md`` 21 has the rules.  4 nodes and 48 CPUs, as in 2012; that it
is the same machine, with the same programs at the same size, is an assumption, which
the elapsed seconds of thread_alloc and of numa02 bear out: 382.54 and 49.83 s with
3.19, 369.38 and 49.42 s in November 2012.
"""

from dataclasses import replace

from ...engine.settings.settings import Settings
from .published import Kernel, Table, by_program, kernel_settings


def _rules(
    write_bit: str = "kept", group_if: str = "write_bit", slow_on_failure: bool = False
) -> Settings:
    """Return the rules of 3.19, except for some."""
    rules = kernel_settings("linux-3.19")
    balancing = replace(
        rules.balancing,
        write_bit=write_bit,
        group_if=group_if,
        slow_on_failure=slow_on_failure,
    )
    return replace(rules, balancing=balancing)


_LINUX_4_0_RC1 = Table(
    source=(
        "Gorman, linux-mm, 5 March 2015 (3.19, 4.0-rc1, noclear) and 7 March 2015"
        " (slowscan), autonumabench"
    ),
    kernels={
        "3.19": Kernel(
            kernel_settings("linux-3.19"),
            by_program(558.84, 382.54, 49.83, 46.59),
            by_program(194.70, 98.52, 9.28, 3.79),
            306.41,
            {
                "numa_pte_updates": 222_840_103,
                "numa_huge_pte_updates": 434_894,
                "numa_hint_faults": 601_358,
                "numa_hint_faults_local": 371_571,
                "numa_pages_migrated": 7_073_177,
            },
        ),
        "4.0-rc1": Kernel(
            kernel_settings("linux-4.0-rc1"),
            by_program(755.96, 382.22, 49.38, 47.70),
            by_program(602.44, 78.10, 6.47, 5.06),
            692.14,
            {
                "numa_pte_updates": 304_513_172,
                "numa_huge_pte_updates": 594_467,
                "numa_hint_faults": 733_491,
                "numa_hint_faults_local": 511_530,
                "numa_pages_migrated": 26_366_701,
            },
        ),
        # "patched" of 5 March: a mark does not clear the entry.
        "noclear": Kernel(
            _rules(write_bit="lost_at_fault"),
            by_program(602.20, 384.98, 49.23, 46.82),
            by_program(182.16, 84.84, 9.74, 3.97),
            counts={
                "numa_pte_updates": 223_926_293,
                "numa_huge_pte_updates": 437_025,
                "numa_hint_faults": 598_990,
                "numa_hint_faults_local": 314_936,
                "numa_pages_migrated": 5_424_102,
            },
        ),
        # Of 7 March: as 4.0-rc1, but failed migrations slow the scan.
        "slowscan": Kernel(
            _rules(write_bit="lost_at_mark", slow_on_failure=True),
            by_program(833.63, 395.45, 50.21, 48.55),
            by_program(209.42, 92.70, 6.06, 3.39),
            311.64,
        ),
    },
    ratios=(("4.0-rc1", "3.19"), ("noclear", "3.19"), ("slowscan", "3.19")),
    change="To lose the write bit of entries that are marked",
)

_LINUX_4_0_RC4 = Table(
    source="Gorman, b191f9b106ea, 25 March 2015, 4.0-rc4 (vmwrite) and preserve",
    kernels={
        "vmwrite": Kernel(
            _rules(write_bit="lost_at_mark", group_if="vm_write"),
            by_program(515.78, 384.10, 48.86, 47.98),
            by_program(107.13, 131.87, 8.95, 4.57),
            252.61,
        ),
        "preserve": Kernel(
            _rules(group_if="vm_write"),
            by_program(517.26, 384.31, 48.78, 48.12),
            by_program(103.13, 83.30, 10.72, 3.99),
            201.24,
        ),
    },
    ratios=(("vmwrite", "preserve"),),
    change="To lose the write bit of entries that are marked",
    # Of all that ran on the machine: 2,597,249 and 1,981,230.
    more={"pgfault": 2_597_249 - 1_981_230},
)

TABLES = {"4.0-rc1": _LINUX_4_0_RC1, "4.0-rc4": _LINUX_4_0_RC4}
