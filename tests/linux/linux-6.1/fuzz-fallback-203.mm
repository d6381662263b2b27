# fallback 203
machine nodes=3 mem=128M distance=10,20,30/20,10,40/30,40,10
set thp.enabled never
cpu 2
map A 54016p
taskpolicy preferred 0
touch A 0p 54016p 4K w
observe A
