# Who maps what of a shared mapping: faults around, the end of it by parts.
machine nodes=2 mem=512M distance=10,21/21,10
map A 1200p shared
touch A 0p 700p 8K w
fork kid
in kid cpu 1
observe A
in kid observe A
in kid touch A 33p 1p 4K r
in kid touch A 100p 1p 4K w
in kid touch A 511p 2p 4K r
in kid observe A
in kid protect A 240p 4p r
in kid touch A 241p 1p 4K r
in kid touch A 246p 1p 4K r
in kid observe A
protect A 0p 20p r
advise A dontneed 0p 40p
touch A 3p 1p 4K r
protect A 0p 20p rw
touch A 3p 1p 4K w
unmap A 16p 4p
touch A 20p 1p 4K r
observe A
in kid advise A populate_read 600p 200p
in kid observe A
advise A populate_write 800p 8p
advise A free
observe A
exit kid
advise A dontneed
advise A populate_read 20p 780p
observe A
counters
