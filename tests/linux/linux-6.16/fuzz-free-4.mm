# free 4
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 2
map A 1024p
cpu 1
touch A 0p 909p 4K w
cpu 2
touch A 909p 29p 4K w
cpu 2
touch A 938p 86p 4K w
advise A pageout 0p 522p
advise A free 1000p 24p
advise A pageout 511p 513p
observe A
counters
advise A pageout
observe A
counters
cpu 2
touch A 511p 513p 2M r
observe A
counters
