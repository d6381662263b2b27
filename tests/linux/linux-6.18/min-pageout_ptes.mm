# pageout of huge pages that PTEs map: all of them, a part, with holes; zero-filled ones
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
swapon
cpu 0
map A 6h
touch A 0 6h 16p w
protect A 0 10p r
advise A pageout 0 1h
counters
observe A
protect A 1h 10p r
advise A pageout 520p 100p
counters
observe A
protect A 2h 10p r
advise A pageout 2h 100p
counters
observe A
advise A dontneed 1600p 10p
advise A pageout 3h 1h
counters
observe A
advise A populate_write 4h 1h
advise A pageout 4h 1h
counters
observe A
touch A 0 6h 4K r
counters
observe A
