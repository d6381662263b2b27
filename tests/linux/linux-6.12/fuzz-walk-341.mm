# walk 341
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
set vm.page-cluster 0
set khugepaged.max_ptes_none 0
map A 1537p
map B 1535p shared
cpu 1
advise A cold 1535p 2p
touch B 1023p 512p 4K r
touch B 512p 549p 2M w
advise A collapse 1024p 512p
advise A collapse 0p 512p
advise A collapse 1024p 512p
touch B 1024p 511p 4K r
policy B local move at 1024p 511p
touch A 1024p 511p 12K r
fork kid
in kid advise A nohugepage 1536p 1p
advise A pageout 512p 513p
in kid advise B populate_write 0p 1535p
touch A 442p 40p 12K r
in kid touch A 59p 256p 4K w
observe A
observe B
in kid observe A
in kid observe B
counters
exit kid
observe A
observe B
counters
