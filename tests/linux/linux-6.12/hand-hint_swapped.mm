# hint faults on pages that were swapped in by reads, a child having them, too
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 3h
cpu 0
touch A 0 3h 4K w
swapon
advise A pageout 0 1024p
fork kid
in kid touch A 0 400p 4K r
touch A 0 1024p 4K r
observe A
cpu 1
set kernel.numa_balancing 1
settle A 0 1536p 4K r 1
set kernel.numa_balancing 0
touch A 0 1536p 4K r
observe A
in kid observe A
advise A collapse 512p 512p
advise A collapse 0 512p
observe A
counters
