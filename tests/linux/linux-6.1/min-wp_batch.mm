# a page that a fork shared, in the batch of another CPU: a write copies it
set thp.enabled never
map A 1h
touch A 0 1p 4K w
cpu 3
fork kid
in kid touch A 0 1h 4K w
touch A 0 1h 4K w
observe A
