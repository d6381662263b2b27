# shmem 206
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
map A 1537p shared
policy A preferred_many 0,1,3 at 1025p 512p
cpu 1
touch A 1536p 1p 8K w
fork kid
in kid cpu 1
touch A 1p 1536p 4K r
in kid move A 0p 512p 0
in kid touch A 221p 1316p 4K r
in kid touch A 512p 512p 12K r
policy A local at 512p 513p
in kid touch A 1536p 1p 2M w
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 3
touch A 1535p 2p 2M r
observe A
counters
