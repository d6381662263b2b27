# mbind move strict of huge pages that small entries map
machine nodes=3 mem=512M
set thp.enabled always
map A 2h
map B 2h
map C 2h
map D 2h
map E 2h
map F 4h
touch A 0 2h 4K w
touch B 0 2h 4K w
touch C 0 2h 4K w
touch D 0 2h 4K w
touch E 0 2h 4K w
touch F 0 4h 4K w
policy A bind 1 move strict at 100p 100p
observe A
protect B 100p 10p r
policy B bind 1 move strict
observe B
policy C bind 0 at 100p 100p
policy C bind 1 move strict at 50p 100p
observe C
protect D 100p 10p r
policy D bind 1 move
observe D
protect E 100p 10p r
advise E dontneed 20p 10p
policy E bind 1 move strict
observe E
protect F 1h 10p r
advise F dontneed 2h 1h
touch F 2h 1h 4K r
policy F bind 2 move strict
observe F
counters
