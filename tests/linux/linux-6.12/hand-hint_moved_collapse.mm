# pages that a hint fault of a read has moved, and pages that stayed, are collapsed
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 3h
cpu 0
touch A 0 3h 4K w
cpu 1
set kernel.numa_balancing 1
settle A 0 1024p 4K r 1
set kernel.numa_balancing 0
touch A 0 1024p 4K r
observe A
advise A hugepage
advise A collapse 0 1h
khugepaged 2
observe A
touch A 512p 1p 4K w
khugepaged 2
observe A
counters
