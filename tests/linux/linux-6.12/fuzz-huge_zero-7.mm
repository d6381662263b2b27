# huge_zero 7
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
set move.status 1
map A 1024p
cpu 0
advise A hugepage
touch A 0 2h 2M r
touch A 0 2h 4K r
touch A 300p 30p 4K w
unmap A 511p 513p
khugepaged 3
advise A populate_read 1h 50p
observe A
counters
