# free of a part, of all PTEs and of a PMD entry of a huge page, then pageout
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 4h
touch A 0 4h 1M w
advise A free 0 100p
observe A
counters
protect A 512p 100p r
advise A free 512p 512p
observe A
counters
advise A pageout 512p 512p
observe A
counters
advise A free 2h 1h
advise A pageout 2h 1h
observe A
counters
advise A free 3h 1h
touch A 3h 1p 4K w
advise A pageout 3h 1h
observe A
counters
