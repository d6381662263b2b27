# walk 2
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled madvise
set vm.page-cluster 0
set khugepaged.max_ptes_none 0
swapon
map A 1536p
map B 1606p
cpu 2
advise A collapse 512p 512p
fork kid
advise B free 1159p 1p
in kid cpu 2
cpu 1
advise A populate_write 1025p 64p
advise A free 0p 469p
advise B cold 1536p 2p
move B 1536p 1p 0
in kid advise B dontneed 1098p 64p
in kid touch A 0p 64p 4K r
in kid policy A default strict
in kid touch B 1535p 64p 4K r
advise B nohugepage 479p 64p
cpu 0
in kid advise B free 1025p 360p
in kid advise B nohugepage 1536p 70p
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
