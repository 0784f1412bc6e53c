# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
import os, time

os.closerange(0, 3)
time.sleep(1000)
