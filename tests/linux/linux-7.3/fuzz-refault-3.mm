# refault 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1024p
cpu 1
touch A 0p 511p 12K w
cpu 3
advise A populate_write 950p 74p
cpu 0
advise A dontneed 95p 511p
advise A hugepage 512p 256p
cpu 1
advise A dontneed 512p 2p
cpu 1
touch A 513p 511p 12K r
observe A
counters
