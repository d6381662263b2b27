# protect 201
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
map A 1024p
cpu 2
touch A 512p 511p 4K w
touch A 0p 1p 4K r
protect A 512p 512p r
cpu 1
touch A 0p 2p 12K r
touch A 10p 1p 4K r
touch A 0p 512p 4K w
observe A
protect A 513p 511p none
fork kid
in kid cpu 1
in kid touch A 511p 256p 4K w
in kid touch A 0p 950p 4K w
in kid touch A 512p 512p 4K w
in kid observe A
protect A 0p 1024p rw
touch A 532p 1p 4K w
exit kid
observe A
counters
