# free 201
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
cpu 3
map A 1537p
cpu 3
touch A 0p 1537p 4K w
advise A free 1536p 1p
advise A free 1024p 64p
observe A
counters
advise A pageout 1280p 257p
observe A
counters
cpu 2
touch A 1536p 1p 12K r
observe A
counters
