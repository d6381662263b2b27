# A is read back from swap
machine nodes=2 mem=256M,512M distance=10,20/20,10
set thp.enabled never
set vm.page-cluster 0
swapon
cpu 1
map A 64M
policy A bind 0
map B 60M
policy B bind 0
map C 180M
policy C bind 0
map D 60M
policy D bind 0
touch A 0M 64M 4K w
touch B 0M 60M 4K w
touch C 0M 180M 4K w
observe A
observe C
touch A 0M 64M 4K r
observe A
observe B
touch D 0M 60M 4K w
observe A
observe B
observe C
observe D
