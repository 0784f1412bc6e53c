# {"status":"time_limit_exceeded","limit":"wall","stdout":"","job":{"limits":{"wall_time_ms":1500}}}
f() { f | f & }
f 2>/dev/null
while :; do :; done
