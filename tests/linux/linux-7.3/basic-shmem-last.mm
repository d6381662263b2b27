# The pages of a shared mapping go with the last mapping of it; khugepaged leaves it alone.
machine nodes=2 mem=256M distance=10,21/21,10
set thp.enabled always
map A 2048p shared
touch A 0p 1024p 4K w
fork kid
fork two
in kid cpu 1
unmap A
in kid touch A 0p 16p 4K r
in kid observe A
in kid unmap A 0p 1000p
in two touch A 0p 8p 4K r
in two observe A
in two touch A 1000p 600p 4K w
exit kid
in two observe A
khugepaged 2
in two observe A
counters
exit two
counters
