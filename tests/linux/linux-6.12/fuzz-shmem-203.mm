# shmem 203
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1536p shared
policy A default
cpu 1
touch A 159p 511p 12K r
fork kid
in kid cpu 3
touch A 512p 2p 8K w
policy A interleave 0,1,2,3
advise A dontneed 511p 1025p
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 0
touch A 511p 513p 12K w
observe A
counters
