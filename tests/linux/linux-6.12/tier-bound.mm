machine nodes=2 mem=512M cpus=1,0 tier=0,1 distance=10,20/20,10
set thp.enabled never
map A 16M
policy A bind 1
touch A 0 16M 4K w
set kernel.numa_balancing 2
settle A 0 16M 4K w 6
observe A
counters
