# fork_migrate 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1536p
cpu 0
touch A 0p 619p 4K w
cpu 3
touch A 619p 917p 4K w
fork kid
in kid cpu 1
in kid move A 344p 511p 2
observe A
in kid observe A
counters
in kid move A 0p 64p 1
in kid move A 512p 513p 1
observe A
in kid observe A
counters
exit kid
move A 768p 768p 1
observe A
counters
