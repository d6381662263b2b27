# mbind over holes, by mode and flags
machine nodes=3 mem=256M
set thp.enabled never
map A 100p
touch A 0 100p 4K w
unmap A 40p 10p
policy A bind 1 move
observe A
policy A bind 0 strict
policy A bind 1 strict
policy A bind 1 strict at 40p 20p
policy A bind 1 strict at 45p 2p
policy A default at 45p 2p
policy A default move at 30p 30p
observe A
policy A local move at 30p 30p
policy A local move at 50p 30p
observe A
policy A bind 2 at 50p 10p
policy A bind 1 strict at 0 55p
policy A bind 2 move strict at 55p 45p
policy A bind 1 at 0 10p
policy A bind 0 at 10p 10p
policy A bind 2 strict at 0 60p
policy A default
advise A dontneed 0 40p
touch A 0 40p 4K w
policy A bind 1 move at 90p 20p
observe A
counters
