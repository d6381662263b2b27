# mbind interleave moves pages of shared mappings
machine nodes=3 mem=256M
map A 30p shared
map B 30p shared
cpu 1
touch A 0 20p 4K w
touch B 0 20p 4K w
policy A interleave 0,1 move
observe A
policy B interleave 0,2 move at 5p 20p
observe B
touch A 20p 10p 4K w
touch B 15p 15p 4K w
observe A
observe B
taskpolicy interleave 0-2
map C 20p shared
touch C 0 20p 4K w
observe C
cpu 2
map D 20p shared
touch D 0 20p 4K w
observe D
cpu 1
map E 20p shared
touch E 0 20p 4K w
observe E
cpu 0
map F 20p shared
touch F 0 20p 4K w
observe F
