machine nodes=2 mem=512M cpus=1,0 distance=10,20/20,10
set thp.enabled never
map A 16M
policy A bind 1
touch A 0 16M 4K w
policy A default
set kernel.numa_balancing 1
settle A 0 16M 4K w 5
observe A
counters
