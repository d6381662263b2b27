# free 205
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
set vm.page-cluster 0
cpu 3
map A 1024p
cpu 3
touch A 0p 1024p 4K w
advise A pageout 0p 256p
advise A free 256p 64p
advise A free 0p 21p
observe A
counters
advise A pageout 512p 256p
observe A
counters
cpu 0
touch A 0p 40p 12K w
observe A
counters
