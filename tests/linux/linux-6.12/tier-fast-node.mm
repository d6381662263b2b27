machine nodes=3 mem=512M cpus=1,1,0 tier=0,0,1 distance=10,20,30/20,10,40/30,40,10
set thp.enabled never
map A 8M
policy A bind 1
touch A 0 8M 4K w
policy A default
set kernel.numa_balancing 2
settle A 0 8M 4K w 8
observe A
counters
