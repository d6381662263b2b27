# guards 5
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set move.status 1
map A 2148p
touch A 0 2148p 4K w
protect A 0 2h none
protect A 1034p 1p none
counters
protect A 500p 5p rw
move A 1636p 100p 0
observe A
move A 1586p 100p 0
protect A 0 2148p rw
observe A
counters
