# khugepaged 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
set khugepaged.max_ptes_none 510
map A 2048p
advise A nohugepage
cpu 3
touch A 0p 512p 4K w
cpu 1
touch A 512p 512p 12K w
cpu 0
touch A 1024p 79p 4K w
cpu 2
touch A 1103p 433p 4K w
cpu 2
touch A 1536p 142p 4K w
cpu 3
touch A 1678p 370p 4K w
cpu 2
advise A hugepage
policy A local
khugepaged 3
observe A
counters
