# first_touch 203
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1024p
cpu 1
touch A 942p 82p 8K w
cpu 2
touch A 511p 1p 4K w
cpu 2
touch A 0p 737p 4K r
cpu 2
touch A 0p 2p 4K w
observe A
counters
