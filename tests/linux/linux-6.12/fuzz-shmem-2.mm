# shmem 2
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
map A 1024p shared
policy A default at 0p 64p
cpu 0
touch A 0p 511p 4K w
fork kid
in kid cpu 0
in kid policy A interleave 0
in kid touch A 0p 64p 4K r
in kid advise A dontneed 992p 32p
move A 1023p 1p 0
observe A
in kid observe A
counters
exit kid
advise A dontneed
cpu 1
touch A 387p 1p 4K w
observe A
counters
