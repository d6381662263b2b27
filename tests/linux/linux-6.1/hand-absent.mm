# nodes that do not exist
machine nodes=3 mem=256M
set thp.enabled never
map A 60p
touch A 0 30p 4K w
policy A bind 5
policy A preferred 7
policy A interleave 4-7
policy A preferred_many 3
policy A local 1
policy A default 1
policy A default 5
policy A local 9
policy A bind 5 move strict
observe A
policy A bind 0,5 move strict
policy A bind 1,5 move at 0 10p
policy A preferred 1,7 at 30p 5p
policy A preferred 7,2 at 35p 5p
policy A interleave 1,2,6 at 40p 20p
touch A 30p 30p 4K w
observe A
taskpolicy bind 5
taskpolicy bind 1,5
taskpolicy preferred 6
taskpolicy preferred 6,2
taskpolicy interleave 9
taskpolicy preferred_many 3-5
taskpolicy default 1
taskpolicy local 1
taskpolicy default
migrate 0-2 5
migrate 5 0
migrate 0,5 2,1
observe A
migrate 0-2 5,1
migrate 0,1 1,5
observe A
move A 0 10p 3
move A 0 10p 63
observe A
policy A bind 5 strict
policy A bind 2,5 strict at 0 5p
policy A default move strict at 0 5p
policy A default 5 move at 0 5p
observe A
counters
