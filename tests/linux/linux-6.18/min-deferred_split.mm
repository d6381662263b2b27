# which unmaps queue a huge page to be split, and what a move does with it
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
cpu 0
map A 6h
touch A 0 6h 4K w
advise A dontneed 0 1h
counters
protect A 1h 1p r
counters
advise A dontneed 1h 1h
counters
protect A 2h 10p r
advise A dontneed 1100p 200p
counters
advise A dontneed 1030p 5p
counters
unmap A 1500p 36p
counters
protect A 3h 10p r
move A 3h 1h 1
counters
observe A
move A 3h 1h 0
counters
observe A
advise A dontneed 2100p 3p
move A 4h 1p 1
counters
observe A
protect A 5h 10p r
policy A bind 1 move at 5h 1h
counters
observe A
counters
observe A
