# oom 203
machine nodes=2 mem=128M distance=10,21/21,10
set thp.enabled never
set vm.overcommit_memory 1
map A 91136p
policy A bind 0
fork small
fork big
in small touch A 0p 7680p 4K w
in big touch A 0p 10752p 4K w
in big touch A 0p 91136p 4K w
in big touch A 0p 1p 4K w
in small touch A 0p 1p 4K w
exit small
counters
