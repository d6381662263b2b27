# walk 337
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
set vm.page-cluster 0
set khugepaged.max_ptes_none 100
swapon
map A 1848p
map B 1536p shared
protect A 513p 2p r
touch A 0p 513p 4K w
advise A hugepage 1535p 313p
fork kid
touch B 1023p 256p 8K r
advise A free 1536p 312p
advise A hugepage 1024p 511p
in kid touch B 532p 762p 8K w
in kid touch B 1024p 2p 8K r
in kid advise A collapse 0p 512p
in kid advise A collapse 512p 512p
observe A
observe B
in kid observe A
in kid observe B
counters
exit kid
observe A
observe B
counters
swapoff
observe A
observe B
counters
