# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
import os, signal

os.kill(os.getpid(), signal.SIGSTOP)
