# zero-filled pages go to swap and come back, private and shared
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
set thp.enabled never
swapon
cpu 0
map A 100p
advise A populate_write 0 100p
touch A 0 10p 4K w
advise A pageout
counters
observe A
touch A 0 100p 4K r
counters
observe A
advise A pageout
counters
touch A 0 100p 4K w
counters
map B 100p shared
advise B populate_write 0 100p
touch B 0 10p 4K w
advise B pageout
counters
observe B
touch B 0 100p 4K r
counters
