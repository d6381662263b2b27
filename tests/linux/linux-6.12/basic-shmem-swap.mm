# What pageout does with written and with read pages, and what comes back.
machine nodes=2 mem=512M distance=10,21/21,10
set vm.page-cluster 0
swapon
map A 600p shared
touch A 0p 100p 4K w
touch A 200p 100p 4K r
fork kid
in kid cpu 1
in kid touch A 0p 10p 4K w
advise A pageout
observe A
in kid observe A
counters
in kid touch A 10p 20p 4K r
in kid touch A 40p 20p 8K w
in kid touch A 200p 20p 4K r
observe A
in kid observe A
counters
in kid advise A pageout 10p 10p
in kid observe A
counters
unmap A 50p 25p
observe A
in kid observe A
advise A cold
policy A bind 1 at 80p 10p
swapoff
observe A
touch A 82p 1p 4K r
touch A 99p 1p 4K r
observe A
counters
