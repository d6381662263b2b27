# mends 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1024p
cpu 1
advise A nohugepage 612p 30p
touch A 0 10p 4K w
advise A nohugepage 1h 1h
advise A hugepage 612p 30p
touch A 90p 300p 4K w
advise A hugepage 1h 1h
touch A 50p 50p 64K w
advise A hugepage
touch A 1h 1h 4K w
observe A
counters
