# double 8
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set move.status 1
set vm.page-cluster 0
swapon
map A 1024p
cpu 2
touch A 0 2h 2M w
fork kid
in kid touch A 0 5p 4K w
observe A
in kid observe A
counters
in kid touch A 300p 1p 8K w
in kid advise A pageout 1h 1h
advise A pageout 511p 256p
migrate 0,1,2 0,1,3
observe A
in kid observe A
counters
