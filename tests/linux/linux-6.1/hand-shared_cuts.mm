# policies of a shared object, set by two processes
machine nodes=3 mem=256M
map A 60p shared
policy A bind 1 at 10p 20p
fork kid
in kid policy A interleave 0-2 at 20p 20p
touch A 0 30p 4K w
in kid touch A 30p 30p 4K w
observe A
in kid observe A
policy A bind 1 move at 10p 20p
observe A
in kid policy A default move at 15p 20p
in kid observe A
in kid policy A interleave 1,2 move_all strict
in kid observe A
unmap A 30p 5p
policy A default move
observe A
in kid taskpolicy interleave 0,1
in kid policy A default move_all
in kid observe A
