# swap 2
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled never
set vm.page-cluster 0
set khugepaged.max_ptes_swap 256
swapon
map A 1024p
cpu 1
touch A 0p 1024p 4K w
fork kid
cpu 2
touch A 512p 2p 8K r
observe A
cpu 1
touch A 770p 2p 8K r
observe A
cpu 1
advise A pageout 604p 2p
observe A
cpu 1
in kid touch A 1p 513p 12K w
in kid observe A
exit kid
observe A
counters
swapoff
observe A
