# protect 2
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
map A 1536p
cpu 1
touch A 1023p 232p 4K w
touch A 1024p 1p 4K w
protect A 1024p 408p none
cpu 0
touch A 0p 124p 8K w
touch A 0p 513p 12K w
observe A
protect A 512p 256p r
fork kid
in kid cpu 2
in kid touch A 854p 513p 4K r
in kid touch A 513p 513p 4K w
in kid touch A 348p 513p 12K w
in kid observe A
protect A 0p 1536p rw
touch A 218p 256p 12K w
exit kid
observe A
counters
