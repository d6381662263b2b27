"""Every scenario at a size that is soon done."""

from lazynuma.engine import Thp, Tlb
from lazynuma.scenarios import (
    autonuma_benchmark,
    contention,
    fragmentation,
    hot_remove,
    hpc_node,
    khugepaged_rate,
    league,
    mechanisms,
    move_pages_rate,
    next_touch,
    penalties,
    perf_bench_numa,
    ping_pong,
    scan_cap,
    scan_stall,
    swap_space,
    teardown,
    thp_unit,
    tiering,
    tlb_shootdown,
    will_it_scale,
)

MIB, GIB = 1 << 20, 1 << 30
HUGE = Thp(enabled="always")
SMALL = {
    "mechanisms": (mechanisms, {"memory": 512 * MIB}),
    "next_touch": (next_touch, {"memory": 128 * MIB, "fractions": (0.1, 1.0)}),
    "teardown": (teardown, {"pages": 512}),
    "hot_remove": (hot_remove, {"memory": 256 * MIB}),
    "hpc_node": (hpc_node, {"mapped": 256 * MIB, "memory": GIB, "halo": 4}),
    "swap_space": (swap_space, {"memory": (64 * GIB, 1 << 40), "mapped": 32 * MIB}),
    "thp_unit": (thp_unit, {"memory": GIB}),
    "khugepaged_rate": (khugepaged_rate, {"mapped": 128 * MIB}),
    "fragmentation": (fragmentation, {"memory": 256 * MIB, "rounds": 6}),
    "penalties": (
        penalties,
        {"memory": 64 * MIB, "accesses": 20_000, "ranking": 128 * MIB},
    ),
    "mechanisms_thp": (
        mechanisms,
        {"memory": 512 * MIB, "thp": HUGE, "tlb": Tlb(enabled=True)},
    ),
    "hpc_node_thp": (
        hpc_node,
        {"mapped": 256 * MIB, "memory": 2 * GIB, "halo": 4, "thp": HUGE},
    ),
    "swap_space_thp": (
        swap_space,
        {"memory": (64 * GIB, 1 << 40), "mapped": 64 * MIB, "thp": HUGE},
    ),
    "contention": (contention, {"memory": 2 * GIB, "threads": (2, 32)}),
    "will_it_scale": (
        will_it_scale,
        {"mapped": 2 * MIB, "tasks": (1, 4, 32), "rounds": 2, "published": False},
    ),
    "autonuma_benchmark": (autonuma_benchmark, {"shrink": 8, "memory": 6 * GIB}),
    "scan_cap": (scan_cap, {"sizes": (64 * MIB, 2 * GIB), "threads": (1, 2)}),
    "tiering": (
        tiering,
        {"memory": 256 * MIB, "tasks": 4, "accesses": 1_000_000, "adjust_ms": 500},
    ),
    "league": (
        league,
        {
            "memory": 32 * MIB,
            "stands_for": 8 * GIB,
            "tasks": 4,
            "accesses": 600,
            "refs": 256,
            "workloads": ("gups", "bfs"),
            "machines": ("cxl-1to4",),
        },
    ),
    "move_pages_rate": (move_pages_rate, {"counts": (1, 8), "whole": 4 * MIB}),
    "tlb_shootdown": (tlb_shootdown, {"mapped": 8 * MIB, "threads": 4}),
    "scan_stall": (
        scan_stall,
        {"sizes_mb": (4, 16), "threads": (2, 8), "seconds": 2},
    ),
    "ping_pong": (ping_pong, {"mapped": 32 * MIB, "touches": 80}),
    "perf_bench_numa": (
        perf_bench_numa,
        {
            "memory": 2 * GIB,
            "mapped": 32 * MIB,
            "runs": ("1x3", "4x2"),
            "seconds": 4,
            "poll": 0.25,
        },
    ),
}
