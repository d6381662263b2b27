# populate_read 4
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled never
map A 1536p
cpu 0
advise A populate_read 442p 513p
cpu 0
advise A populate_read 1285p 251p
cpu 1
advise A populate_read 1024p 512p
protect A 512p 513p none
advise A populate_read 512p 256p
observe A
counters
