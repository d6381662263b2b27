# refault 202
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
map A 1536p
cpu 0
advise A populate_write 0p 513p
cpu 1
advise A dontneed 511p 512p
advise A hugepage 0p 256p
cpu 0
advise A dontneed 1188p 348p
cpu 0
advise A dontneed 441p 559p
cpu 1
touch A 0p 64p 2M r
cpu 0
advise A dontneed 511p 256p
cpu 1
advise A dontneed 768p 512p
observe A
counters
