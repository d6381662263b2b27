# MADV_COLLAPSE of pages that a read swapped in: shared with a child, read-only, alone
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
map A 6h
cpu 0
touch A 0 6h 4K w
swapon
protect A 512p 512p r
advise A pageout 0 5h
touch A 0 1024p 4K r
fork kid
in kid touch A 1024p 512p 4K r
touch A 1024p 1024p 4K r
advise A collapse 0 1h
advise A collapse 1h 1h
advise A collapse 2h 1h
advise A collapse 3h 1h
advise A collapse 4h 1h
advise A collapse 5h 1h
observe A
counters
exit kid
touch A 2048p 512p 4K r
advise A collapse 2h 1h
advise A collapse 3h 1h
advise A collapse 4h 1h
observe A
counters
