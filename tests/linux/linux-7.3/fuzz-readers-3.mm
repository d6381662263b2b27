# readers 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled madvise
set move.status 1
map A 1024p
cpu 1
touch A 1h 10p 4K r
touch A 0 1h 4K w
touch A 1h 1h 4K r
touch A 0 1h 4K w
observe A
advise A collapse 1h 1h
observe A
advise A hugepage
advise A collapse
observe A
counters
