# oom 1
machine nodes=3 mem=128M distance=10,20,30/20,10,40/30,40,10
set thp.enabled never
set vm.overcommit_memory 1
map A 123904p
fork small
fork big
in small touch A 0p 10752p 4K w
in big touch A 0p 32768p 4K w
in big touch A 0p 123904p 4K w
in big touch A 0p 1p 4K w
in small touch A 0p 1p 4K w
exit small
counters
