# common 3
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
map A 612p shared
cpu 2
touch A 0 20p 4K r
touch A 400p 200p 4K w
fork kid
in kid protect A 100p 1h rw
advise A populate_write 100p 1h
in kid touch A 10p 200p 64K w
protect A 0 1h none
policy A interleave 2 move at 0 612p
observe A
in kid observe A
counters
