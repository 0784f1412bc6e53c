# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
