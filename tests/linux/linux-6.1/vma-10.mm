# vma 10
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1436p
cpu 0
advise A hugepage 412p 712p
policy A bind 1 at 412p 712p
policy A bind 0 at 412p 712p
touch A 902p 3p 4K w
protect A 0p 1436p rw
touch A 1311p 1p 4K r
touch A 1374p 1p 4K w
advise A dontneed 0p 412p
advise A hugepage 0p 412p
touch A 787p 1p 4K w
protect A 0p 412p rw
touch A 1324p 1p 4K r
protect A 0p 412p rw
advise A hugepage 0p 412p
protect A 0p 1436p rw
policy A default at 0p 1436p
advise A hugepage 0p 1436p
protect A 0p 1436p rw
touch A 7p 1p 4K w
touch A 519p 1p 4K w
touch A 1031p 1p 4K w
observe A
counters
