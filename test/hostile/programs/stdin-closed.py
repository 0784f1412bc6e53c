# {"status":"time_limit_exceeded","limit":"wall","job":{"stdin":"$LARGE","limits":{"wall_time_ms":1000}}}
import os, time

os.close(0)
time.sleep(1000)
