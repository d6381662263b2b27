# drop splits huge pages that wait to be split, and nothing else
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
cpu 0
map A 3h
touch A 0 3h 4K w
advise A dontneed 10p 10p
protect A 1h 1p r
unmap A 2h 1p
drop
observe A
