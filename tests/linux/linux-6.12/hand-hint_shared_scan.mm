# NUMA balancing of a shared mapping without a policy
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled never
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 1024p shared
cpu 0
touch A 0 1024p 4K w
drop
cpu 1
set kernel.numa_balancing 1
settle A 512p 512p 4K r 2
set kernel.numa_balancing 0
observe A
touch A 0 1024p 4K r
observe A
