machine nodes=2 mem=512M cpus=1,0 distance=10,20/20,10
set thp.enabled never
set numa.demotion_enabled 1
swapon
map A 8M
touch A 0 8M 4K w
advise A pageout
observe A
counters
