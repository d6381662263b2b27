# thp_split 3
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
cpu 0
map A 1129p
touch A 0p 1129p 2M w
advise A nohugepage 512p 511p
observe A
counters
touch A 512p 617p 4K w
observe A
counters
