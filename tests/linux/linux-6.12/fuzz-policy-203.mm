# policy 203
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1536p
cpu 2
policy A interleave 1 at 1p 1535p
touch A 0p 1536p 4K w
policy A local strict at 449p 512p
observe A
map B 1024p
cpu 1
touch B 0p 1024p 4K w
policy B interleave 0,2 move strict at 768p 1p
taskpolicy interleave 0,3
advise B dontneed 0p 513p
touch B 768p 256p 4K r
taskpolicy default
observe B
map C 1025p
cpu 1
touch C 0p 1025p 4K w
policy C bind 0,1,2,3 move
taskpolicy interleave 0,1,2,3
advise C dontneed 1024p 1p
touch C 870p 155p 12K w
taskpolicy default
observe C
counters
