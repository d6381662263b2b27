# huge pages that a child maps whole, by parts, and not at all
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set balancing.scan_period_min_ms 20
set balancing.scan_period_max_ms 40
set balancing.scan_delay_ms 10
set balancing.scan_size_mb 1024
map A 5h
cpu 0
touch A 0 5h 4K w
protect A 1034p 10p r
protect A 1034p 10p rw
fork kid
in kid unmap A 1024p 500p
in kid touch A 1536p 1p 4K w
unmap A 2048p 500p
in kid touch A 2048p 1p 4K w
cpu 1
set kernel.numa_balancing 1
settle A 0 2048p 4K r 2
set kernel.numa_balancing 0
observe A
in kid observe A
counters
in kid cpu 1
in kid touch A 1536p 1024p 4K r
touch A 0 2048p 4K r
in kid observe A
observe A
counters
