# shmem 205
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
map A 1024p shared
cpu 0
touch A 0p 512p 12K w
fork kid
in kid cpu 1
in kid policy A local at 586p 256p
move A 256p 2p 1
in kid move A 511p 513p 1
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 2
touch A 512p 2p 8K w
observe A
counters
