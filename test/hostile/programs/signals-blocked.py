# {"status":"time_limit_exceeded","limit":"wall","job":{"limits":{"wall_time_ms":1000}}}
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    pass
