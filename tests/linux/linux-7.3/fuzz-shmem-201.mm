# shmem 201
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
map A 1537p shared
cpu 0
touch A 301p 64p 4K r
fork kid
in kid cpu 1
advise A dontneed 0p 1442p
in kid touch A 0p 256p 4K w
in kid touch A 512p 511p 4K r
touch A 1023p 1p 4K w
policy A preferred 0
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 1
touch A 157p 1p 2M w
observe A
counters
