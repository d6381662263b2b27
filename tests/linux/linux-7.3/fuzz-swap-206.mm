# swap 206
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
set khugepaged.max_ptes_swap 256
swapon
map A 1024p
cpu 0
touch A 0p 375p 4K w
cpu 0
touch A 375p 649p 4K w
fork kid
cpu 1
in kid advise A pageout 640p 64p
in kid observe A
cpu 3
in kid touch A 768p 2p 8K w
in kid observe A
cpu 0
touch A 512p 512p 4K r
observe A
cpu 2
touch A 0p 511p 4K w
observe A
cpu 2
in kid advise A pageout 0p 513p
in kid observe A
exit kid
advise A hugepage
khugepaged 3
observe A
counters
swapoff
observe A
