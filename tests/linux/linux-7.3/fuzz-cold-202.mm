# cold 202
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled never
set vm.page-cluster 0
swapon
cpu 3
map A 1303p
cpu 3
touch A 0p 81p 4K w
cpu 0
touch A 81p 12p 4K w
cpu 2
touch A 93p 1210p 4K w
advise A pageout 512p 511p
advise A cold 1024p 279p
advise A cold 513p 256p
touch A 0p 513p 2M r
observe A
counters
advise A pageout
observe A
counters
cpu 3
touch A 1024p 64p 2M r
observe A
counters
