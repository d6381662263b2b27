# ages 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
swapon
map A 1024p
touch A 0 2h 2M w
fork kid
in kid cpu 0
advise A pageout 1h 5p
advise A free 612p 1p
observe A
advise A free 1h 1h
in kid advise A pageout 522p 502p
touch A 562p 300p 4K w
observe A
advise A pageout 912p 112p
observe A
advise A pageout
observe A
in kid observe A
counters
touch A 1h 1h 64K r
swapoff
observe A
in kid observe A
counters
