# the same with 2 nodes
machine nodes=2 mem=256M
map A 20p shared
map B 20p shared
policy A interleave 0-1
policy B interleave 0-1
touch A 0 20p 4K w
touch B 0 20p 4K w
observe A
observe B
