machine nodes=3 mem=512M cpus=1,1,0 distance=10,20,30/20,10,40/30,40,10
set thp.enabled never
map A 8M
policy A bind 1
touch A 0 8M 4K w
policy A default
map B 8M
policy B bind 2
touch B 0 8M 4K w
policy B default
set kernel.numa_balancing 3
settle A 0 8M 4K w 6
settle B 0 8M 4K w 6
observe A
observe B
counters
