# {"status":"runtime_error","exit":4,"stdout":"","stderr":""}
exec <&- >&- 2>&-
echo lost
exit 4
