# B is shared, and younger than A
machine nodes=2 mem=256M,512M distance=10,20/20,10
set thp.enabled never
set vm.page-cluster 0
swapon
cpu 1
map A 64M
policy A bind 0
map B 100M shared
policy B bind 0
map C 160M
policy C bind 0
touch A 0M 64M 4K w
touch B 0M 100M 4K w
touch C 0M 160M 4K w
observe A
observe B
observe C
