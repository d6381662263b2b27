# policy 1
machine nodes=4 mem=512M distance=10,16,22,22/16,10,22,22/22,22,10,16/22,22,16,10
set thp.enabled always
map A 1782p
cpu 2
policy A local at 1536p 64p
touch A 0p 1782p 4K w
policy A bind 0,1,2 move_all at 207p 511p
observe A
map B 1536p
cpu 0
policy B bind 0,1,2,3 at 0p 511p
touch B 0p 1536p 4K w
policy B local move
observe B
map C 1535p
cpu 3
touch C 0p 1535p 4K w
policy C local move_all
observe C
counters
