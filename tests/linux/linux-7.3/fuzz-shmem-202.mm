# shmem 202
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
map A 1536p shared
policy A local at 512p 256p
cpu 1
touch A 673p 511p 2M w
fork kid
in kid cpu 2
policy A preferred_many 0,1,2 move at 1024p 2p
touch A 118p 1p 2M r
in kid move A 0p 511p 0
touch A 256p 1p 2M r
in kid advise A dontneed 511p 511p
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 0
touch A 684p 1p 4K w
observe A
counters
