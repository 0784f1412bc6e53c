# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
trap '' HUP INT QUIT TERM PIPE XCPU
while :; do sleep 1000; done
