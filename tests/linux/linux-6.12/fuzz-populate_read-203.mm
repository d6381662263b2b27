# populate_read 203
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
map A 1536p
cpu 2
advise A populate_read 0p 65p
cpu 3
advise A hugepage 0p 512p
touch A 512p 64p 12K w
cpu 2
advise A dontneed 1377p 159p
cpu 3
advise A populate_read 1p 1128p
cpu 3
advise A populate_read 0p 513p
touch A 1025p 2p 8K w
cpu 1
advise A populate_read 256p 1p
touch A 512p 513p 12K w
protect A 1023p 64p r
advise A populate_read 513p 513p
observe A
counters
