# a task's own bind that balances, and shared mappings with and without a policy
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 600p shared
map B 600p shared
map C 600p
advise C nohugepage
policy B preferred 0 at 0 100p
cpu 0
touch A 0 600p 4K w
touch B 0 600p 4K w
touch C 0 600p 4K w
taskpolicy bind 0,1 balancing
cpu 1
set kernel.numa_balancing 1
settle A 0 600p 4K w 1
settle C 0 600p 4K w 1
set kernel.numa_balancing 0
touch B 0 600p 4K r
observe A
observe B
observe C
counters
