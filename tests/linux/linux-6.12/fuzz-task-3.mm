# task 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set move.status 1
map A 1024p
taskpolicy preferred 2
policy A preferred 0 at 1h 1h
touch A 513p 1p 64K w
touch A 1h 1h 4K w
touch A 0 1h 64K w
observe A
taskpolicy interleave 0,2,3
cpu 0
advise A free 513p 30p
advise A free 1h 1h
observe A
counters
