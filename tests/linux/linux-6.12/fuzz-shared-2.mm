# shared 2
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled madvise
set khugepaged.max_ptes_shared 511
map A 1023p
cpu 0
touch A 0p 1023p 4K w
fork kid
in kid cpu 0
in kid touch A 256p 767p 2M r
in kid unmap A 513p 64p
touch A 543p 480p 4K w
touch A 511p 511p 4K r
in kid touch A 814p 2p 4K r
observe A
in kid observe A
counters
advise A hugepage
khugepaged 3
observe A
in kid observe A
counters
exit kid
touch A 0p 256p 4K r
observe A
counters
