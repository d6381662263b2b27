# free 203
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
set vm.page-cluster 0
cpu 1
map A 1024p
cpu 1
touch A 0p 1024p 4K w
advise A free 315p 512p
advise A pageout 929p 2p
observe A
counters
advise A pageout
observe A
counters
cpu 2
touch A 0p 1p 2M w
observe A
counters
