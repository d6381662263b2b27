# a huge page of which one small entry is left: its count is 1
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 4h
cpu 0
touch A 0 4h 2M w
advise A dontneed 513p 511p
advise A dontneed 1026p 510p
cpu 1
set kernel.numa_balancing 1
settle A 1536p 512p 4K r 2
set kernel.numa_balancing 0
observe A
counters
cpu 1
touch A 512p 1p 4K r
touch A 1024p 1p 4K r
observe A
counters
