# free 2
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
cpu 1
map A 1537p
cpu 1
touch A 0p 1537p 4K w
advise A free 1280p 257p
advise A free 1091p 256p
advise A pageout 882p 513p
advise A pageout 438p 2p
observe A
counters
advise A pageout
observe A
counters
cpu 1
touch A 886p 512p 4K r
observe A
counters
