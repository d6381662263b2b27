# guards 8
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 2048p
cpu 0
touch A 0 4h 2M w
protect A 1626p 256p none
counters
protect A 2h 1h rw
move A 100p 700p 1
observe A
counters
touch A 2h 1h 64K r
touch A 602p 300p 4K r
observe A
protect A 0 4h rw
observe A
counters
