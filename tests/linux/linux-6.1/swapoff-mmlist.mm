# swapoff reads a slot that processes share by the policy of the first on mmlist
machine nodes=4 mem=256M distance=10,20,20,20/20,10,20,20/20,20,10,20/20,20,20,10
set thp.enabled never
set vm.page-cluster 0
swapon
map A 64p
map B 64p
map C 64p
touch A 0 64p 4K w
touch B 0 64p 4K w
touch C 0 64p 4K w
advise A pageout
advise C pageout 0 32p
fork kid
fork other
policy A bind 0
in kid policy A bind 1
in other policy A bind 2
policy B bind 0
in kid policy B bind 1
in other policy B bind 2
policy C bind 0
in kid policy C bind 1
in other policy C bind 2
advise A dontneed
in kid touch C 0 16p 4K r
in other touch C 16p 4p 4K w
in other advise C dontneed 24p 8p
in kid touch B 0 16p 4K w
in kid advise B pageout 0 16p
swapoff
observe C
in kid observe A
in other observe A
in kid observe B
in kid observe C
in other observe C
