# writes to the huge zero page
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
cpu 0
map A 3h
touch A 0 3h 4K r
observe A
touch A 5p 1p 4K w
observe A
counters
touch A 600p 1p 4K w
observe A
counters
advise A populate_write 2h 1h
observe A
counters
