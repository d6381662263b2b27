# a split of a huge page of which few pages were written: zero pages from 6.12 on
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 8h
touch A 0 8h 1M w
counters
# partial advice splits
advise A pageout 100p 100p
observe A
counters
advise A cold 512p 300p
observe A
counters
