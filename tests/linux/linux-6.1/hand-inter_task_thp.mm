# a task's interleave by huge pages, in VMAs that begin inside a huge page
machine nodes=3 mem=256M
set thp.enabled always
map A 12h
map B 5h at 40p
taskpolicy interleave 0-2
touch A 1h 2h 2M w
protect A 3h 700p r
touch A 5h 3h 4K w
touch B 0 4h 2M w
observe A
observe B
advise A nohugepage 8h 300p
touch A 8h 4h 2M w
observe A
protect A 3h 700p rw
touch A 3h 700p 64K w
observe A
fork kid
in kid unmap A 0 13p
in kid touch A 0 1h 4K w
in kid observe A
counters
