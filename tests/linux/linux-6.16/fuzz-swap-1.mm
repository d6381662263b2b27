# swap 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
set khugepaged.max_ptes_swap 256
swapon
map A 1537p
cpu 1
touch A 0p 1537p 4K w
cpu 2
advise A pageout 0p 511p
observe A
cpu 3
touch A 1025p 511p 2M r
observe A
cpu 1
advise A dontneed 1536p 1p
observe A
observe A
counters
swapoff
observe A
