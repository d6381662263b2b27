# advice to huge pages of two processes, one of which has cut its own
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 4h
touch A 0 4h 1M w
fork kid
in kid protect A 0 10p r
in kid touch A 600p 1p 4K w
counters
advise A pageout 0 4h
in kid advise A pageout 0 4h
counters
observe A
in kid observe A
in kid advise A cold 3h 10p
advise A cold 1100p 10p
counters
advise A dontneed 0 1h
counters
in kid advise A dontneed 20p 10p
counters
advise A dontneed 1h 1h
counters
in kid advise A pageout 1h 1h
counters
observe A
in kid observe A
exit kid
counters
observe A
