# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1500}}}
while :; do sleep 1000 & done 2>/dev/null
