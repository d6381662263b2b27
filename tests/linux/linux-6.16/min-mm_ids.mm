# two processes map other parts of a huge page: is it shared?
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
cpu 0
map A 3h
touch A 0 3h 4K w
fork kid
advise A dontneed 0 100p
in kid advise A dontneed 100p 412p
advise A cold 200p 10p
counters
observe A
in kid advise A dontneed 512p 100p
advise A dontneed 612p 412p
advise A cold 520p 10p
counters
in kid advise A cold 700p 10p
counters
observe A
in kid observe A
protect A 1030p 10p r
protect A 1030p 10p rw
advise A cold 2h 1h
counters
in kid advise A pageout 1100p 10p
in kid protect A 1030p 10p r
in kid protect A 1030p 10p rw
in kid advise A cold 2h 1h
in kid advise A cold 1100p 10p
counters
exit kid
advise A cold 1100p 10p
counters
