# balance 202
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 1025p
cpu 0
touch A 0p 592p 4K w
cpu 0
touch A 592p 433p 4K w
cpu 1
observe A
counters
set kernel.numa_balancing 1
settle A 511p 512p 4K w 3
set kernel.numa_balancing 0
touch A 511p 512p 4K r
observe A
counters
