# the first node of shared mappings that interleave
machine nodes=3 mem=256M
map A 20p shared
map B 20p shared
map C 2h shared
taskpolicy interleave 0-2
touch A 0 20p 4K w
touch B 0 20p 4K w
touch C 0 20p 4K w
observe A
observe B
observe C
