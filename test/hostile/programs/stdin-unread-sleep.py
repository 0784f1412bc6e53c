# {"status":"time_limit_exceeded","limit":"wall","job":{"stdin":"$LARGE","limits":{"wall_time_ms":1000}}}
import time

time.sleep(1000)
