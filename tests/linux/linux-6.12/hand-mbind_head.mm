# mbind of huge pages whose first page is gone, shared or swapped
machine nodes=3 mem=512M
set thp.enabled always
map A 2h
map B 2h
map C 2h
map D 2h
map E 2h
touch A 0 2h 4K w
touch B 0 2h 4K w
touch C 0 2h 4K w
touch D 0 2h 4K w
advise A dontneed 0 10p
policy A bind 1 move strict
observe A
fork kid
in kid advise B dontneed 0 10p
policy B bind 1 move strict
observe B
advise C dontneed 0 1p
in kid advise C dontneed 300p 10p
policy C bind 2 move
observe C
in kid touch D 0 1h 4K w
policy D bind 2 move strict
observe D
in kid policy D bind 1 move strict at 1h 1h
in kid observe D
touch E 0 2h 4K r
touch E 5p 1p 4K w
touch E 1h 5p 4K w
policy E bind 1 strict
policy E bind 1 move strict
observe E
protect E 0 8p none
policy E bind 2 move strict
protect E 0 8p rw
observe E
