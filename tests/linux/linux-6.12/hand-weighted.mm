# weighted interleave, by region and by task
machine nodes=3 mem=256M
set thp.enabled always
set node.0.weight 3
set node.2.weight 2
map A 6h
map B 50p at 12p
map C 8h
policy A weighted_interleave 0-2
touch A 0 6h 2M w
observe A
taskpolicy weighted_interleave 0,2
touch B 3p 30p 4K w
touch C 0 5h 2M w
observe B
observe C
policy B weighted_interleave 1,2 move
observe B
set node.1.weight 5
policy C weighted_interleave 0-2 move strict at 100p 3h
observe C
touch C 6h 20p 4K w
observe C
counters
