# collapse 2
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
set khugepaged.max_ptes_none 511
map A 2081p
advise A nohugepage
cpu 3
touch A 0p 495p 4K w
cpu 1
touch A 512p 81p 4K w
cpu 0
touch A 1024p 512p 4K r
touch A 1024p 130p 4K w
cpu 3
cpu 1
touch A 2048p 30p 4K w
cpu 1
touch A 2078p 3p 4K w
cpu 2
advise A hugepage
advise A collapse 1024p 512p
advise A collapse 0p 512p
advise A collapse 512p 512p
advise A collapse 512p 512p
observe A
counters
