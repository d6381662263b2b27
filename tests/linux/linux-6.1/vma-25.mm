# vma 25
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
map A 1024p
cpu 0
touch A 561p 1p 4K w
touch A 596p 1p 4K w
policy A preferred 1 at 50p 874p
protect A 0p 924p rw
touch A 226p 3p 4K w
policy A bind 1 at 924p 100p
policy A bind 0 at 50p 974p
protect A 50p 974p rw
advise A dontneed 0p 1024p
touch A 9p 1p 4K w
protect A 50p 974p rw
touch A 747p 3p 4K w
policy A preferred 1 at 0p 50p
fork k1
in k1 cpu 0
touch A 938p 1p 4K w
advise A hugepage 0p 1024p
protect A 0p 1024p rw
policy A default at 0p 1024p
protect A 0p 1024p rw
touch A 7p 1p 4K w
touch A 519p 1p 4K w
in k1 policy A default at 0p 1024p
in k1 protect A 0p 1024p rw
in k1 touch A 7p 1p 4K w
in k1 touch A 519p 1p 4K w
observe A
in k1 observe A
counters
