# populate_read 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
map A 1025p
policy A bind 0,1,3 at 652p 373p
cpu 1
advise A dontneed 0p 1p
touch A 461p 513p 8K w
cpu 1
advise A hugepage 0p 513p
cpu 1
advise A populate_write 292p 511p
touch A 517p 2p 2M w
cpu 0
advise A populate_read 1024p 1p
touch A 0p 1025p 4K r
cpu 2
advise A dontneed 1023p 2p
cpu 1
advise A populate_read 512p 513p
touch A 1023p 1p 4K w
protect A 23p 513p none
advise A populate_read 0p 511p
observe A
counters
