# forks 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
map A 2048p
cpu 3
touch A 0 4h 4K r
touch A 1074p 50p 4K w
fork kid
unmap A 1114p 30p
in kid protect A 3h 1h r
advise A free 1114p 1h
observe A
touch A 3h 1h 4K r
counters
observe A
in kid observe A
counters
exit kid
advise A collapse 1h 1h
observe A
counters
