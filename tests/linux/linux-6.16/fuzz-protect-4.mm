# protect 4
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
map A 1535p
cpu 2
touch A 513p 1p 12K w
protect A 508p 113p none
cpu 0
touch A 0p 256p 4K w
touch A 814p 511p 4K w
touch A 1023p 1p 12K r
touch A 854p 2p 12K r
observe A
protect A 1024p 256p rw
fork kid
in kid cpu 2
in kid touch A 95p 513p 4K w
in kid observe A
protect A 0p 1535p rw
touch A 513p 1022p 4K r
exit kid
observe A
counters
