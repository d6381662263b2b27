# populate over holes and protections
machine nodes=2 mem=256M
set thp.enabled never
map A 100p
map B 100p
map C 100p
map D 100p
unmap A 40p 10p
advise A populate_write
observe A
advise A populate_read
observe A
unmap B 40p 10p
protect B 20p 5p r
advise B populate_read 10p 40p
advise B populate_write
observe B
protect C 20p 5p none
unmap C 60p 10p
advise C populate_read
advise C populate_write 5p 40p
advise C populate_write 25p 60p
observe C
unmap D 0 10p
unmap D 90p 10p
advise D populate_read 5p 20p
advise D populate_write 50p 50p
observe D
advise D cold
advise D pageout 0 50p
advise D dontneed
observe D
