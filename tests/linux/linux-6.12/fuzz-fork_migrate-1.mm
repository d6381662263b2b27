# fork_migrate 1
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
map A 1024p
cpu 1
touch A 0p 489p 4K w
cpu 1
touch A 489p 535p 4K w
fork kid
in kid cpu 1
touch A 0p 256p 4K w
touch A 897p 1p 4K w
move A 623p 401p 1
observe A
in kid observe A
counters
exit kid
move A 0p 1p 0
observe A
counters
