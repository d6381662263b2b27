# shared 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set khugepaged.max_ptes_shared 256
map A 1678p
cpu 2
touch A 0p 695p 4K w
cpu 2
touch A 695p 983p 4K w
fork kid
in kid cpu 1
advise A dontneed 768p 910p
in kid advise A dontneed 1025p 653p
touch A 1536p 1p 4K w
observe A
in kid observe A
counters
in kid advise A hugepage
khugepaged 3
observe A
in kid observe A
counters
exit kid
touch A 0p 614p 2M w
observe A
counters
