# balance 201
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 2424p
cpu 3
touch A 0p 106p 4K w
cpu 3
touch A 106p 145p 4K w
cpu 2
touch A 251p 2173p 4K w
cpu 3
observe A
counters
set kernel.numa_balancing 1
settle A 0p 2424p 4K w 3
set kernel.numa_balancing 0
touch A 0p 2424p 4K r
observe A
counters
