# max_ptes_shared and parts of huge pages: another page of the folio is shared
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled madvise
set khugepaged.max_ptes_shared 100
map A 4h
advise A hugepage
cpu 0
touch A 0 4h 4K w
fork kid
in kid unmap A 0 400p
in kid unmap A 512p 450p
in kid unmap A 1025p 511p
touch A 0 512p 4K w
touch A 512p 300p 4K w
touch A 1024p 20p 4K w
in kid touch A 1536p 1p 4K w
touch A 1536p 100p 4K w
observe A
khugepaged 2
observe A
counters
