# A is read again and again
machine nodes=2 mem=256M,512M distance=10,20/20,10
set thp.enabled never
set vm.page-cluster 0
swapon
cpu 1
map A 64M
policy A bind 0
map B 40M
policy B bind 0
map C 200M
policy C bind 0
touch A 0M 64M 4K w
touch B 0M 40M 4K w
touch C 0M 20M 4K w
touch A 0M 64M 4K r
touch C 20M 20M 4K w
touch A 0M 64M 4K r
touch C 40M 20M 4K w
touch A 0M 64M 4K r
touch C 60M 20M 4K w
touch A 0M 64M 4K r
touch C 80M 20M 4K w
touch A 0M 64M 4K r
touch C 100M 20M 4K w
touch A 0M 64M 4K r
touch C 120M 20M 4K w
touch A 0M 64M 4K r
touch C 140M 20M 4K w
touch A 0M 64M 4K r
touch C 160M 20M 4K w
touch A 0M 64M 4K r
touch C 180M 20M 4K w
touch A 0M 64M 4K r
observe A
observe B
observe C
