# mbind move, move_all and strict of huge pages that a child maps too
machine nodes=3 mem=512M
set thp.enabled always
map A 2h
map B 2h
map C 2h
map D 2h
touch A 0 2h 4K w
touch B 0 2h 4K w
touch C 0 2h 4K w
touch D 0 2h 4K w
fork kid
policy A bind 1 move strict
observe A
policy B bind 1 move_all strict at 100p 300p
observe B
in kid touch C 100p 1p 4K w
policy C bind 1 move strict
observe C
in kid policy C bind 1 move strict
in kid observe C
policy D bind 1 strict
touch D 20p 1p 4K w
policy D bind 1 strict at 21p 5p
policy D bind 0 strict at 21p 5p
policy D bind 1 move strict
observe D
in kid observe D
counters
