# shared 204
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set khugepaged.max_ptes_shared 256
map A 1024p
cpu 0
touch A 0p 1024p 4K w
fork kid
in kid cpu 3
touch A 0p 2p 4K r
touch A 512p 64p 4K r
touch A 768p 256p 4K r
unmap A 0p 256p
observe A
in kid observe A
counters
exit kid
touch A 512p 256p 2M w
observe A
counters
