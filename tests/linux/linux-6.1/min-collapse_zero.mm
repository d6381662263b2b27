# collapse fills holes with zeros; a split then finds them
machine nodes=2 mem=512M distance=10,21/21,10
set thp.enabled always
set vm.page-cluster 0
cpu 0
map A 3h
touch A 0 3h 1M w
advise A nohugepage
protect A 0 10p r
advise A dontneed 512p 100p
advise A hugepage
advise A collapse
observe A
counters
advise A cold 10p 1p
advise A cold 520p 1p
advise A cold 1034p 1p
observe A
counters
advise A collapse
observe A
counters
advise A cold 10p 1p
observe A
counters
