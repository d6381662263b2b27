# mbind interleave moves pages that are there, over two VMAs
machine nodes=3 mem=256M
set thp.enabled always
map B 5h
map A 5h
touch A 0 3h 2M w
touch A 3h 1h 2M w
protect A 0 2h rw
protect A 700p 100p r
touch A 4h 5p 4K w
policy A interleave 1,2 move strict
observe A
policy A interleave 0-2 move strict at 100p 4h
observe A
advise B nohugepage
touch B 0 20p 4K w
protect B 7p 5p r
policy B interleave 1,2 move at 3p 15p
observe B
taskpolicy interleave 0,2
policy B default move at 0 30p
observe B
policy A default move
observe A
counters
