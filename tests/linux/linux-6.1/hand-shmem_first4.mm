# the same with 4 nodes
machine nodes=4 mem=256M
map A 20p shared
map B 20p shared
policy A interleave 0-3
policy B interleave 1-3
touch A 0 20p 4K w
touch B 0 20p 4K w
observe A
observe B
