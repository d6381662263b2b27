# zero-filled huge pages go to swap and come back
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 3h
advise A populate_write
touch A 1h 1p 4K w
advise A pageout
counters
observe A
touch A 0 3h 4K r
counters
observe A
advise A pageout
counters
swapoff
counters
observe A
