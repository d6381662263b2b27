# cold 4
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 1904p
cpu 0
touch A 0p 1904p 4K w
fork kid
advise A cold 337p 513p
in kid advise A cold 1536p 368p
in kid touch A 513p 64p 4K w
observe A
in kid observe A
counters
advise A pageout 1023p 64p
observe A
in kid observe A
counters
cpu 1
touch A 1792p 112p 4K r
observe A
in kid observe A
counters
