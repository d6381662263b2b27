# walk 1
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
set khugepaged.max_ptes_none 100
swapon
map A 1537p
map B 1024p
fork kid
in kid touch A 0p 1537p 12K w
policy A preferred_many 0,1 strict
in kid advise A nohugepage 512p 1025p
touch B 512p 175p 8K r
advise A populate_read 371p 256p
in kid advise B populate_write 1023p 1p
in kid advise B collapse 512p 512p
advise A pageout 246p 513p
touch B 1p 1009p 12K r
policy B interleave 0 strict at 512p 512p
in kid cpu 0
migrate 0 0,1
observe A
observe B
in kid observe A
in kid observe B
counters
exit kid
observe A
observe B
counters
swapoff
observe A
observe B
counters
