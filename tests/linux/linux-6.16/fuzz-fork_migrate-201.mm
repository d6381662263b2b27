# fork_migrate 201
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1024p
cpu 0
touch A 0p 930p 4K w
cpu 3
touch A 930p 94p 4K w
fork kid
in kid cpu 3
policy A local move_all at 0p 2p
move A 0p 513p 0
in kid touch A 513p 511p 4K w
exit kid
move A 197p 64p 1
observe A
counters
