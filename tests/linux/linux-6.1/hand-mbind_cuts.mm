# policies that overlap, cut and join
machine nodes=4 mem=256M
set thp.enabled always
map A 6h
policy A preferred 1 at 0 700p
policy A preferred 1,2 at 700p 400p
touch A 1h 1p 4K w
observe A
policy A bind 3 at 300p 100p
policy A bind 3 at 100p 200p
policy A preferred 1 at 50p 500p
touch A 0 1p 4K w
observe A
policy A interleave 0-3 at 3h 3h
policy A interleave 0-3 at 2h 2h
touch A 2h 4h 2M w
observe A
policy A interleave 1,2 move at 1300p 1000p
observe A
policy A local move at 1500p 1000p
observe A
policy A bind 0,3 move strict
observe A
policy A preferred 2,0 move
observe A
policy A preferred 2,3 strict
counters
