# collapse 204
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
set khugepaged.max_ptes_none 511
map A 2047p
advise A nohugepage
cpu 3
touch A 0p 12p 4K w
cpu 1
touch A 512p 512p 4K r
touch A 512p 317p 4K w
cpu 1
cpu 2
touch A 1536p 511p 8K w
cpu 0
advise A hugepage
advise A collapse 0p 511p
advise A collapse 512p 512p
touch A 1023p 256p 2M w
advise A collapse 0p 512p
observe A
counters
