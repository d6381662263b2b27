# zeros 8
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set move.status 1
set vm.page-cluster 0
swapon
map A 2048p
cpu 3
advise A populate_write
touch A 1524p 50p 4K w
touch A 511p 20p 4K w
policy A interleave 0 move_all at 1736p 30p
observe A
observe A
counters
