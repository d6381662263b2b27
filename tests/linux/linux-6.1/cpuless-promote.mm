machine nodes=2 mem=512M cpus=1,0 distance=10,20/20,10
map A 16M
policy A bind 1
touch A 0 16M 4K w
policy A default
observe A
counters
set kernel.numa_balancing 2
settle A 0 16M 4K w 5
observe A
counters
