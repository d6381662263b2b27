# khugepaged 202
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set khugepaged.max_ptes_none 64
map A 2560p
advise A nohugepage
cpu 1
touch A 0p 448p 4K w
cpu 1
touch A 448p 64p 4K w
cpu 1
touch A 512p 204p 4K w
cpu 3
touch A 716p 308p 4K w
cpu 2
touch A 1024p 319p 4K w
cpu 3
touch A 1536p 512p 4K w
cpu 2
touch A 2048p 512p 8K w
cpu 0
advise A hugepage 1280p 2p
policy A preferred 1 at 2048p 64p
khugepaged 3
observe A
counters
