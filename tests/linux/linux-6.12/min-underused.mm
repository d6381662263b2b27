# from 6.12 on the shrinker splits new huge pages that hold too many zeros, unless they have moved
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set khugepaged.max_ptes_none 400
cpu 0
map A 5h
touch A 0 1h 16p w
touch A 1h 100p 4K w
touch A 2h 112p 4K w
touch A 3h 112p 4K w
touch A 1647p 1p 4K w
touch A 4h 10p 4K w
move A 4h 1h 1
drop
observe A
