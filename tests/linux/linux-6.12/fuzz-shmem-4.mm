# shmem 4
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
map A 1766p shared
cpu 2
touch A 97p 511p 8K w
fork kid
in kid cpu 2
touch A 0p 512p 4K r
move A 1536p 64p 1
in kid touch A 768p 64p 8K w
advise A dontneed 511p 2p
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 3
touch A 838p 513p 4K w
observe A
counters
