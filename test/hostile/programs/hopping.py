# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1500}}}
# No process lives longer than it takes to make the next one, so that a kill of what was seen hits nobody.
import os, time

if os.fork() == 0:
    while True:
        if os.fork() > 0:
            os._exit(0)
        os.setsid()
time.sleep(1000)
