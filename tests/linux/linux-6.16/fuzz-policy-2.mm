# policy 2
machine nodes=3 mem=512M distance=10,20,30/20,10,40/30,40,10
set thp.enabled always
map A 1536p
cpu 2
policy A default at 1008p 511p
touch A 0p 1536p 4K w
policy A default move strict at 112p 1p
taskpolicy interleave 2
advise A dontneed 1025p 2p
touch A 497p 256p 4K w
taskpolicy default
observe A
map B 1023p
cpu 1
policy B preferred 1 strict at 0p 1023p
touch B 0p 1023p 4K w
policy B local move at 511p 64p
observe B
counters
