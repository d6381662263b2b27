# a task's interleave over regions, a child, a copy and a shared object
machine nodes=3 mem=256M
set thp.enabled never
map A 100p
map B 50p
map C 30p shared
taskpolicy interleave 0-2
touch B 3p 7p 4K w
touch A 10p 20p 4K w
touch C 4p 5p 4K w
fork kid
in kid touch A 12p 5p 4K w
in kid touch A 50p 5p 4K w
in kid touch C 20p 5p 4K w
in kid observe A
observe A
observe B
observe C
taskpolicy interleave 1,2
touch A 70p 9p 4K r
touch A 71p 9p 4K w
observe A
policy B interleave 0,2 at 20p 30p
touch B 15p 20p 4K w
observe B
counters
